"""The errors that reach a client, each with its status, `type` and `code` in OpenAI's vocabulary.

One root, so that a front door needs one `except`. Messages are for the person who reads them; they never hold a secret.
"""

from __future__ import annotations

import math
from typing import Final

LONGEST_SDK_WAIT: Final = 60.0
"""Seconds of `retry-after` that OpenAI's SDKs obey; told to wait longer, they try again almost at once."""


class CheapRouterError(Exception):
    """Root of all errors that are ours to report. `param` names the request field at fault."""

    status = 500
    type = "server_error"
    code: str | None = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error."""
        return {}


class InvalidRequestError(CheapRouterError):
    """The request itself is wrong: 400."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class AuthenticationError(CheapRouterError):
    """No key where one is needed, or an unknown one: 401."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class PermissionDeniedError(CheapRouterError):
    """The caller is known and may not do this: 403."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class NotFoundError(CheapRouterError):
    """No such thing: 404."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """No model of that name can be used here: 404, `param` is `model`."""

    code = "model_not_found"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="model")


class MethodNotAllowedError(CheapRouterError):
    """The path exists, not with this method: 405."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class BodyTooLargeError(CheapRouterError):
    """Over the body limit: 413."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaTypeError(CheapRouterError):
    """A content type that is not served: 415."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class NoCandidateError(CheapRouterError):
    """No configured model can do what this request needs, or none is allowed: 400, and no retry helps."""

    status = 400
    type = "invalid_request_error"
    code = "no_suitable_model"


class LimitError(CheapRouterError):
    """A device's own limit is reached: 429 with the time to wait.

    `retry_after` in seconds (None: waiting does not help, and the client is told not to retry). `limit` names which:
    `requests`, `tokens`, `parallel`, `schedule` or `disabled`.
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float | None, limit: str, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.limit = limit

    @property
    def headers(self) -> dict[str, str]:
        """`retry-after` in whole seconds, rounded up, and the exact `retry-after-ms`; the SDKs are kept from retrying too soon."""
        if self.retry_after is None:
            return {"x-should-retry": "false"}
        wait = max(0.0, self.retry_after)
        headers = {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(wait * 1000))}
        if wait > LONGEST_SDK_WAIT:
            headers["x-should-retry"] = "false"
        return headers


class BudgetError(LimitError):
    """A budget is spent: 429 `insufficient_quota`. `limit` is `daily_budget`, `monthly_budget` or their `global_` kin.

    `action`: `free` where a model that costs nothing may be asked instead, else `refuse`.
    """

    action = "refuse"

    type = "insufficient_quota"
    code = "insufficient_quota"


class UpstreamError(CheapRouterError):
    """Every candidate failed: the truest status there is, and the shortest real time to wait where one is known."""

    status = 502
    type = "server_error"
    code = "upstream_error"

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
        self.retry = retry
        if error_type is not None:
            self.type = error_type
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """`retry-after`, at most 120 s: the SDKs give up altogether on more. Told not to retry where that is pointless."""
        if not self.retry:
            return {"x-should-retry": "false"}
        if self.retry_after is None:
            return {}
        return {"retry-after": str(min(120, max(1, math.ceil(self.retry_after))))}


class ShuttingDownError(CheapRouterError):
    """The process is draining: 503, try again soon."""

    status = 503
    code = "shutting_down"

    @property
    def headers(self) -> dict[str, str]:
        """A restart takes seconds."""
        return {"retry-after": "5"}


class NotConfiguredError(CheapRouterError):
    """There are no settings to serve by: 503 until they are mended, so that asking again at once does not help."""

    status = 503
    code = "not_configured"

    @property
    def headers(self) -> dict[str, str]:
        """Nobody mends a file within a client's retries."""
        return {"x-should-retry": "false"}


class ConfigurationError(CheapRouterError):
    """Settings that cannot be used. `problems`: every one of them, each naming its key and what is allowed."""

    code = "invalid_configuration"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NewerDatabaseError(ConfigurationError):
    """The books were written by a newer version: nothing is touched. `problems` say what to do; the process exits with 3."""

    code = "newer_database"


class SettingError(InvalidRequestError):
    """A value that a setting does not take; says what is allowed. `param` is the setting's name."""


class BooksUnavailableError(CheapRouterError):
    """The database cannot be read just now: 503. Requests are served and booked meanwhile."""

    status = 503
    code = "books_unavailable"
