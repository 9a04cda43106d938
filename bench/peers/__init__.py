"""The peers: other Python libraries that carry requests over RabbitMQ, with the tutorial's insert and select.

Each is used as its own documentation shows, with one front end process and one worker process: nameko behind Flask with
`ClusterRpcProxy`, Celery behind Flask with `delay().get()` and the result backend `rpc://`, FastStream behind FastAPI
with `broker.request`. None of them does what ours does beside that: no inbox, no stored reply, no event. Each folder
here has the code of one, its settings, and the packages of its environment. That code imports nothing of ours but
`bench.peers.products`, as our library is not installed there.
"""
