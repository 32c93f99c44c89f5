"""Encryption of associations (PS3.15 B.9 and B.10, BCP 195: TLS 1.2 or later)."""

from __future__ import annotations

import ssl

from dicomlake.errors import UsageError
from dicomlake.settings import Tls


def client(settings: Tls) -> ssl.SSLContext:
    """For associations that we ask for; UsageError when a file of the settings is not usable."""
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.check_hostname = settings.check_hostname
        return _common(context, settings)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(error) from error


def server(settings: Tls) -> ssl.SSLContext:
    """For our listener: with `ca`, callers must show a certificate of that authority."""
    if settings.certificate is None:
        raise UsageError("The listener needs a certificate for TLS: set certificate and key.")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if settings.ca is not None:
            context.load_verify_locations(cafile=settings.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return _common(context, settings)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(error) from error


def _common(context: ssl.SSLContext, settings: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


def _unusable(error: OSError) -> UsageError:
    why = error.strerror or type(error).__name__
    return UsageError(f"A certificate or key of the TLS settings cannot be used: {why}.")
