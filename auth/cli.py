"""`bus auth`: what an operator does with accounts and keys, where the database can be reached.

Only the import goes over the bus, from any machine that has BUS_URL.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from auth.files.reading import USERS
from auth.handlers.service import settings
from auth.storage import accounts, activity, second_factor, service_accounts, signing_keys
from auth.storage import mails as outgoing
from bus import Work
from bus.cli import import_file, import_options, service_work

ROLES = ("admin", "catalog:write")
STATES = ("waiting", "sending", "sent", "failed", "dropped")

_LOGIN = click.argument("login")
_NAME = click.argument("name")
# As in the contract, `ClientId`.
_SERVICE_NAME = re.compile("[a-z][a-z0-9_-]{0,63}")
_ROLE = click.argument("role", type=click.Choice(ROLES))


@click.group()
def commands() -> None:
    """Manage accounts, and the keys that access tokens are signed with."""


@commands.command("import")
@import_options
def import_(file: Path, **options: Any) -> None:
    """Make the accounts of FILE: CSV or NDJSON, with the password hashes of another program.

    If it is stopped, start it again: it goes on where it was, and no account is there twice. Exits with 1 if some
    accounts could not be imported; each is printed with its line.
    """
    import_file(USERS, file, **options)


@commands.command()
@_LOGIN
@_ROLE
def grant(login: str, role: str) -> None:
    """Give ROLE to the account with the user name or address LOGIN. Its next access token has it."""
    with service_work("auth") as work:
        _set(work, login, lambda roles: roles | {role})


@commands.command()
@_LOGIN
@_ROLE
def revoke(login: str, role: str) -> None:
    """Take ROLE from the account with the user name or address LOGIN. Its access tokens have it until they end."""
    with service_work("auth") as work:
        _set(work, login, lambda roles: roles - {role})


@commands.command("remove-totp")
@_LOGIN
def remove_totp(login: str) -> None:
    """Remove the second factor of the account LOGIN, which has lost its app and its recovery codes."""
    with service_work("auth") as work:
        owner = _owner(work, login)
        if (found := second_factor.find(work.connection, owner.id)) is None:
            raise click.UsageError(f"{owner.username} has no second factor.")
        second_factor.remove(work, owner, found)
        activity.note(work, owner.id, "totp_removed")
        click.echo(f"{owner.username}: no second factor")


@commands.group()
def keys() -> None:
    """Manage the keys that access tokens are signed with."""


@keys.command()
def rotate() -> None:
    """Make a new key and print its id. The old one is published until its last token has ended."""
    try:
        with service_work("auth") as work:
            click.echo(signing_keys.rotate(work.connection, settings()))
    except IntegrityError:
        raise click.ClickException("Another rotation runs at the same moment. Its key is as new.") from None


@commands.group("service-accounts")
def accounts_of_services() -> None:
    """Manage the accounts of services, which call others in their own name."""


@accounts_of_services.command("create")
@_NAME
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="A role; may be given several times.")
def create_service_account(name: str, roles: tuple[str, ...]) -> None:
    """Make the account NAME of the service with this name, and print its secret, this one time."""
    if not _SERVICE_NAME.fullmatch(name):
        raise click.UsageError("NAME begins with a letter; letters, digits, - and _ follow, all in lower case.")
    try:
        with service_work("auth") as work:
            secret = service_accounts.create(work.connection, name, roles)
            activity.note_service(work, name, "created")
    except IntegrityError:
        raise click.UsageError(
            f"There is a service account {name!r} already. `new-secret` replaces its secret."
        ) from None
    click.echo(secret)


@accounts_of_services.command("list")
def list_service_accounts() -> None:
    """List the accounts of services with their roles."""
    with service_work("auth") as work:
        for row in service_accounts.all_of(work.connection):
            click.echo(f"{row.name}: {row.roles or 'no roles'}")


@accounts_of_services.command("new-secret")
@_NAME
def replace_secret(name: str) -> None:
    """Replace the secret of the account NAME, and print the new one. Access tokens go on until they end."""
    with service_work("auth") as work:
        if (secret := service_accounts.replace_secret(work.connection, name)) is None:
            raise click.UsageError(f"There is no service account {name!r}.")
        activity.note_service(work, name, "secret_replaced")
    click.echo(secret)


@accounts_of_services.command("delete")
@_NAME
def delete_service_account(name: str) -> None:
    """Delete the account NAME. Its access tokens end within minutes."""
    with service_work("auth") as work:
        if not service_accounts.remove(work.connection, name):
            raise click.UsageError(f"There is no service account {name!r}.")
        activity.note_service(work, name, "deleted")


@accounts_of_services.command("activity")
def list_service_activity() -> None:
    """List what was done with the accounts of services, also with those that are deleted, the oldest first."""
    with service_work("auth") as work:
        for row in activity.of_services(work):
            click.echo(f"{row.at:%Y-%m-%d %H:%M:%S}  {row.what:15}  {row.service}")


@commands.group()
def mails() -> None:
    """Look after mails that could not be sent."""


@mails.command("list")
@click.option("--all", "every", is_flag=True, help="Those that were sent, too.")
def list_mails(every: bool) -> None:
    """List mails that wait or were given up, the oldest first, with the reason of the last failure."""
    with service_work("auth") as work:
        for row in outgoing.listed(work.connection, STATES if every else outgoing.RETRIED):
            click.echo(
                f"{row.id}  {row.made_at:%Y-%m-%d %H:%M}  {row.state:7}  {row.kind:8}  {row.address}  {row.error}"
            )


@mails.command("retry")
@click.argument("mail_ids", nargs=-1, metavar="ID…")
@click.option("--all", "every", is_flag=True, help="All that wait or were given up.")
def retry_mails(mail_ids: tuple[str, ...], every: bool) -> None:
    """Send mails at once that wait or were given up. Their tokens are good for as long as new ones."""
    if bool(mail_ids) == every:
        raise click.UsageError("Give the ids of mails, or --all.")
    with service_work("auth") as work:
        click.echo(f"{outgoing.retry(work.connection, mail_ids)} to be sent.")


def _set(work: Work, login: str, change: Callable[[set[str]], set[str]]) -> None:
    owner = _owner(work, login)
    roles = " ".join(sorted(change(set(owner.roles.split()))))
    if roles != owner.roles:
        accounts.change(work, owner.id, roles=roles)
        activity.note(work, owner.id, "roles_changed")
    click.echo(f"{owner.username}: {roles or 'no roles'}")


def _owner(work: Work, login: str) -> Row[Any]:
    found = accounts.find_by_login(work.connection, login)
    owner = None if found is None else accounts.lock(work.connection, found.id)
    if owner is None:
        raise click.UsageError(f"There is no account with the user name or address {login!r}.")
    return owner
