"""Sign and verify versions with Ed25519.

The signed message is the content of manifest.json, whose root hash covers all files. Keys are PEM or OpenSSH files
without a passphrase. The signature is stored next to the manifest, base64-encoded.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import require_extra
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["SIGNATURE", "sign_manifest", "signature_error"]

SIGNATURE: Final = "manifest.json.sig"


def sign_manifest(folder: Path, key: Path | None) -> None:
    """Write the signature of a folder's manifest; deterministic.

    Args:
        folder: The dataset folder.
        key: File with the private key; None removes an old signature.

    Raises:
        UsageError: The key cannot be used. The message never contains any part of it.
    """
    if key is None:
        remove(folder / SIGNATURE)
        return
    signature = _load_private_key(key).sign((folder / manifest.PATH).read_bytes())
    write_text(folder / SIGNATURE, folder, base64.b64encode(signature).decode() + "\n")


def signature_error(folder: Path, key: Path) -> str | None:
    """Return what is wrong with the signature of a folder's manifest, None if it is valid.

    Args:
        folder: The dataset folder.
        key: File with the public key.

    Raises:
        UsageError: The key cannot be used.
    """
    from cryptography.exceptions import InvalidSignature

    public = _load_public_key(key)
    try:
        signature = base64.b64decode((folder / SIGNATURE).read_bytes().strip(), validate=True)
        public.verify(signature, (folder / manifest.PATH).read_bytes())
    except FileNotFoundError:
        return f"there is no signature of {manifest.PATH}"
    except (binascii.Error, ValueError):
        return "is not a signature"
    except InvalidSignature:
        return f"does not match this {manifest.PATH} and the key in {key.name}"
    return None


def _load_private_key(path: Path) -> Ed25519PrivateKey:
    data = _read(path)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        if b"OPENSSH PRIVATE KEY" in data:
            key = serialization.load_ssh_private_key(data, password=None)
        else:
            key = serialization.load_pem_private_key(data, password=None)  # type: ignore[assignment]
    except Exception as error:
        raise UsageError(f"{path}: no private key without a passphrase found") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key; create one with `ssh-keygen -t ed25519`")
    return key


def _load_public_key(path: Path) -> Ed25519PublicKey:
    data = _read(path)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if data.startswith(b"ssh-"):
            key = serialization.load_ssh_public_key(data)
        else:
            key = serialization.load_pem_public_key(data)  # type: ignore[assignment]
    except Exception as error:
        raise UsageError(f"{path}: no public key found") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: not an Ed25519 key")
    return key


def _read(path: Path) -> bytes:
    require_extra("a signature", "signing")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
