"""The errors that reach a client, each with its status, `type` and `code` in OpenAI's vocabulary.

One root, so that a front door needs one `except`. Messages are for the person who reads them; they never hold a secret.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST_SDK_WAIT: Final = 60.0
"""Seconds of `retry-after` that OpenAI's SDKs obey; told to wait longer, they try again almost at once."""

_REQUEST: Final = "invalid_request_error"
_POINTLESS: Final = {"x-should-retry": "false"}
_SOON: Final = {"retry-after": "5"}


class CheapRouterError(Exception):
    """Root of all errors that are ours to report. `param` names the request field at fault.

    A class says its status, type and code where it is made; what it does not say is its parent's.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"

    def __init_subclass__(cls, *, status: int | None = None, kind: str | None = None, code: str | None = None) -> None:
        cls.status, cls.type, cls.code = status or cls.status, kind or cls.type, code or cls.code

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = self.code if code is None else code

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error."""
        return {}


class InvalidRequestError(CheapRouterError, status=400, kind=_REQUEST, code="invalid_value"):
    """The request itself is wrong."""


class AuthenticationError(CheapRouterError, status=401, kind="authentication_error", code="invalid_api_key"):
    """No key where one is needed, or an unknown one."""


class PermissionDeniedError(CheapRouterError, status=403, kind="permission_error", code="permission_denied"):
    """The caller is known and may not do this."""


class NotFoundError(CheapRouterError, status=404, kind=_REQUEST, code="not_found"):
    """No such thing."""


class ModelNotFoundError(NotFoundError, code="model_not_found"):
    """No model of that name can be used here; `param` is `model`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="model")


class MethodNotAllowedError(CheapRouterError, status=405, kind=_REQUEST, code="method_not_allowed"):
    """The path exists, not with this method."""


class BodyTooLargeError(CheapRouterError, status=413, kind=_REQUEST, code="request_too_large"):
    """Over the body limit."""


class UnsupportedMediaTypeError(CheapRouterError, status=415, kind=_REQUEST, code="unsupported_media_type"):
    """A content type that is not served."""


class NoCandidateError(CheapRouterError, status=400, kind=_REQUEST, code="no_suitable_model"):
    """No configured model can do what this request needs, or none is allowed; no retry helps."""


class LimitError(CheapRouterError, status=429, kind="rate_limit_error", code="rate_limit_exceeded"):
    """A device's own limit is reached, with the time to wait.

    `retry_after` in seconds (None: waiting does not help, and the client is told not to retry). `limit` names which:
    `requests`, `tokens`, `parallel`, `schedule` or `disabled`.
    """

    def __init__(self, message: str, *, retry_after: float | None, limit: str, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.limit = limit

    @property
    def headers(self) -> dict[str, str]:
        """`retry-after` in whole seconds, rounded up, and the exact `retry-after-ms`; the SDKs are kept from retrying too soon."""
        if self.retry_after is None:
            return _POINTLESS
        wait = max(0.0, self.retry_after)
        headers = {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))}
        return headers | _POINTLESS if wait > LONGEST_SDK_WAIT else headers


class BudgetError(LimitError, kind="insufficient_quota", code="insufficient_quota"):
    """A budget is spent. `limit` is `daily_budget`, `monthly_budget` or their `global_` kin.

    `action`: `free` where a model that costs nothing may be asked instead, else `refuse`.
    """

    action = "refuse"


class UpstreamError(CheapRouterError, status=502, code="upstream_error"):
    """Every candidate failed: the truest status there is, and the shortest real time to wait where one is known."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        code: str | None = None,
        error_type: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        retry: bool = True,
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status
        self.type = self.type if error_type is None else error_type
        self.retry_after = retry_after
        self.retry = retry

    @property
    def headers(self) -> dict[str, str]:
        """`retry-after`, at most 120 s: the SDKs give up altogether on more. Told not to retry where that is pointless."""
        if not self.retry:
            return _POINTLESS
        if self.retry_after is None:
            return {}
        return {"retry-after": str(min(120, max(1, math.ceil(self.retry_after))))}


class ShuttingDownError(CheapRouterError, status=503, code="shutting_down"):
    """The process is draining; a restart takes seconds."""

    headers = _SOON


class NotConfiguredError(CheapRouterError, status=503, code="not_configured"):
    """There are no settings to serve by, until they are mended: nobody does that within a client's retries."""

    headers = _POINTLESS


class ConfigurationError(CheapRouterError, code="invalid_configuration"):
    """Settings that cannot be used. `problems`: every one of them, each naming its key and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NewerDatabaseError(ConfigurationError, code="newer_database"):
    """The books were written by a newer version: nothing is touched. `problems` say what to do; the process exits with 3."""


class SettingError(InvalidRequestError):
    """A value that a setting does not take; says what is allowed. `param` is the setting's name."""


class BooksUnavailableError(CheapRouterError, status=503, code="books_unavailable"):
    """The database cannot be read just now. Requests are served and booked meanwhile."""

    headers = _SOON


class BooksBusyError(BooksUnavailableError, code="books_busy"):
    """What was asked for would take too long, or too many ask at once. A smaller question may be answered."""
