"""Signatures of a version: Ed25519 over the bytes of manifest.json, whose root is the hash of all files.

Keys are Ed25519, PEM or as OpenSSH writes them, without a passphrase. The signature lies beside the manifest, base64.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["SIGNATURE", "sign_manifest", "signature_error"]

SIGNATURE: Final = "manifest.json.sig"


def sign_manifest(folder: Path, key: Path | None) -> None:
    """Sign the manifest of a folder with the private key in a file; without a key an old signature is taken away.

    The same key and manifest give the same bytes. Raises UsageError where the key cannot be used; nothing of it is
    ever told.
    """
    if key is None:
        remove(folder / SIGNATURE)
        return
    signature = _private(key).sign((folder / manifest.PATH).read_bytes())
    write_text(folder / SIGNATURE, folder, base64.b64encode(signature).decode() + "\n")


def signature_error(folder: Path, key: Path) -> str | None:
    """Say what is wrong with the signature of a folder's manifest by the public key in a file; None if it is right."""
    from cryptography.exceptions import InvalidSignature

    public = _public(key)
    try:
        signature = base64.b64decode((folder / SIGNATURE).read_bytes().strip(), validate=True)
        public.verify(signature, (folder / manifest.PATH).read_bytes())
    except FileNotFoundError:
        return f"there is no signature of {manifest.PATH}"
    except (binascii.Error, ValueError):
        return "is no signature"
    except InvalidSignature:
        return f"is no signature of this {manifest.PATH} by the key in {key.name}"
    return None


def _private(path: Path) -> Ed25519PrivateKey:
    data = _read(path)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        if b"OPENSSH PRIVATE KEY" in data:
            key = serialization.load_ssh_private_key(data, password=None)
        else:
            key = serialization.load_pem_private_key(data, password=None)  # type: ignore[assignment]
    except Exception as error:
        raise UsageError(f"{path}: holds no private key without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: holds another kind of key; Ed25519 is wanted, `ssh-keygen -t ed25519`")
    return key


def _public(path: Path) -> Ed25519PublicKey:
    data = _read(path)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if data.startswith(b"ssh-"):
            key = serialization.load_ssh_public_key(data)
        else:
            key = serialization.load_pem_public_key(data)  # type: ignore[assignment]
    except Exception as error:
        raise UsageError(f"{path}: holds no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: holds another kind of key; Ed25519 is wanted")
    return key


def _read(path: Path) -> bytes:
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError("signatures need a library: pip install 'filtercrawl[signing]'") from error
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
