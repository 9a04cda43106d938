"""Groups of commands whose help has a whole sentence for each command, which click would cut off."""

from importlib import import_module

import click

from bus.contract.installed import importing

# For commands whose argument may begin with a dash. They have no short options, not even -h: click would find them in
# the middle of an identifier.
MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


class SentenceGroup(click.Group):
    """A group whose help has the first sentence of each command, however long."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The section with the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.sentence(ctx, name)) for name in self.list_commands(ctx)])

    def sentence(self, ctx: click.Context, name: str) -> str:
        """What the command does."""
        command = self.get_command(ctx, name)
        return first_sentence(command) if command is not None else ""


class LazyGroup(SentenceGroup):
    """A group that imports a command when it is run: all of them together take longer to import than most to run.

    `sentences` are the commands by name, with what each does; the command `a-b` is `a_b` in the module of that name, or
    of that in `modules`.
    """

    sentences: dict[str, str]
    modules: dict[str, str]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names of all commands."""
        return list(self.sentences)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None for an unknown name."""
        if cmd_name not in self.sentences:
            return None
        attribute = cmd_name.replace("-", "_")
        with importing():
            command = getattr(import_module(f"bus.cli.{self.modules.get(cmd_name, attribute)}"), attribute)
        return command if isinstance(command, click.Command) else None

    def sentence(self, ctx: click.Context, name: str) -> str:  # noqa: ARG002
        """What the command does, without importing it."""
        return self.sentences[name]


def first_sentence(command: click.Command) -> str:
    """The first paragraph of a command's help up to its first full stop."""
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return text.split(". ")[0].removesuffix(".") + "."
