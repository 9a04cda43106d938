"""Second factor: one-time passwords of an authenticator app (TOTP, RFC 6238), and recovery codes."""

from typing import Annotated

from msgspec import Meta

from auth.contract.accounts import LogInAgain, SessionOver, TooManyTries
from bus import Command, Event, Refusal, Reply, Secret, TransientCommand

# A code of an app may be written in two groups, a recovery code in upper case.
Otp = Annotated[str, Meta(min_length=1, max_length=64, examples=["287082"]), Secret()]


class OtpRequired(Refusal, code="auth.otp_required", status=401):
    """The password is right, and a one-time password is needed too. Send it in the field otp."""


class WrongOtp(Refusal, code="auth.wrong_otp", status=401, keeps_changes=True):
    """The one-time password or recovery code is wrong, or was used before."""


class WrongCode(Refusal, code="auth.wrong_code", status=403, keeps_changes=True):
    """This is not the code that the authenticator app shows now."""


class TotpEnabled(Refusal, code="auth.totp_enabled", status=409):
    """The account has a second factor already. Remove it before you enrol another."""


class TotpNotEnrolled(Refusal, code="auth.totp_not_enrolled", status=409):
    """There is no second factor to confirm or to remove. Enrol one first."""


class TotpSecret(Reply):
    """What an authenticator app needs: `secret` in base32 (RFC 4648), and the same as a URI for a QR code."""

    secret: Annotated[str, Meta(examples=["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"]), Secret()]
    uri: Annotated[
        str,
        Meta(examples=["otpauth://totp/Errand:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Errand"]),
        Secret(),
    ]


class RecoveryCodes(Reply):
    """Codes that each take the place of a one-time password once. They are shown this one time."""

    recovery_codes: Annotated[list[str], Meta(examples=[["gezd-gnbv-gy3t-qojq-gezd-gnbv"]]), Secret()]


class TotpRemoved(Reply):
    """The second factor is removed."""


class TotpChanged(Event, name="auth.totp_changed"):
    """The second factor of the account `id` was confirmed or removed. `version` counts these changes."""

    id: int
    enabled: bool
    version: int


# The replies of the next two have secrets, so they are stored nowhere: a caller that has lost one begins again.
class EnrolTotp(
    TransientCommand[TotpSecret],
    name="auth.enrol_totp",
    http="POST /mfa/totp",
    status=201,
    needs="",
    refuses=[SessionOver, LogInAgain, TotpEnabled],
):
    """Get a secret for an authenticator app. It counts once it is confirmed; until then the last one is valid.

    The log-in of this session must be recent.
    """


class ConfirmTotp(
    TransientCommand[RecoveryCodes],
    name="auth.confirm_totp",
    http="POST /mfa/totp/confirm",
    needs="",
    refuses=[SessionOver, TotpNotEnrolled, TotpEnabled, WrongCode, TooManyTries],
):
    """Show that the app has the secret. From now on a log-in needs a code; the answer has ten recovery codes."""

    code: Otp


class RemoveTotp(
    Command[TotpRemoved],
    name="auth.remove_totp",
    http="DELETE /mfa/totp",
    status=204,
    needs="",
    refuses=[SessionOver, LogInAgain, TotpNotEnrolled],
):
    """Remove the second factor and its recovery codes. A secret that is not confirmed yet is removed too.

    The log-in of this session must be recent.
    """
