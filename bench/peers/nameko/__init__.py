"""nameko: a Flask front end that calls a nameko service with ClusterRpcProxy."""
