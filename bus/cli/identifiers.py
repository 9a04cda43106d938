"""Identifiers as arguments. Those that others choose, or chance, may begin with a dash, as an option does."""

# For a command with such an argument and without short options, so also without -h: an option would be
# found in the midst of an identifier.
MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
