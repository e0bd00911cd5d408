"""The objects below one URL, by any file system of fsspec that can create an object only where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import has_magic
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import (
    AccessDeniedError,
    DatasetError,
    FiltercrawlError,
    NetworkError,
    PolicyError,
    UsageError,
)

__all__ = ["ObjectStore"]

# What clients call an error of credentials that are missing or out of date.
_NO_CREDENTIALS: Final = ("NoCredentials", "PartialCredentials", "TokenRetrieval", "ProfileNotFound", "SSOToken")
# How stores answer a conditional write whose condition does not hold, or that lost to another at the same time.
_CONDITION_FAILED: Final = (409, 412)


class ObjectStore:
    """Reads and writes objects; paths are relative to the URL.

    An object is seen as a whole or not at all, and a listing has everything that was written before it began: all of
    S3, Google Cloud Storage, Azure, R2 and MinIO promise that.
    """

    def __init__(self, url: str) -> None:
        """Open a store; sends no request.

        Args:
            url: Where the objects are, for example `s3://bucket/name`.

        Raises:
            UsageError: No file system of fsspec has this protocol, or its library is not installed.
        """
        import fsspec  # datasets in folders do without
        from fsspec.core import url_to_fs

        self.url = url
        protocol = url.partition("://")[0]
        if protocol in ("file", "local"):
            raise UsageError(f"{url}: is a folder of this machine; name it by its path")
        try:
            self._fs, self._root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        except ValueError as error:
            known = ", ".join(sorted({"s3", "gs", "abfs"} & set(fsspec.available_protocols())))
            raise UsageError(f"{url}: {protocol} is no object store that fsspec knows, as {known} are") from error
        except ImportError as error:
            install = "pip install 'filtercrawl[s3]'" if protocol in ("s3", "s3a") else str(error)
            raise UsageError(f"{url}: the library for {protocol}:// is not installed; {install}") from error
        except Exception as error:
            with self._errors():
                raise
            raise AssertionError from error

    def check(self) -> None:
        """Check that the bucket exists and may be read.

        Raises:
            DatasetError: There is no such bucket.
            NetworkError: The store cannot be reached or refuses.
        """
        bucket = self._root.lstrip("/").partition("/")[0]
        with self._errors():
            try:
                self._fs.info(bucket)
            except FileNotFoundError:
                if self._fs.protocol == "memory":
                    return  # it has no buckets
                raise DatasetError(
                    f"{self.url}: there is no bucket {bucket}; create it, or name another by --dataset"
                ) from None

    def read(self, path: str) -> bytes | None:
        """Return the content of an object; None where there is none."""
        with self._errors():
            try:
                content: bytes = self._fs.cat_file(self._at(path))
            except FileNotFoundError:
                return None
            return content

    def write(self, path: str, content: bytes) -> None:
        """Write an object over the one that is there."""
        with self._errors():
            self._fs.pipe_file(self._at(path), content)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object where there is none; False, and nothing is written, where there is one.

        Raises:
            PolicyError: The file system cannot do that. One that ignores the condition is found by writing twice.
        """
        with self._errors():
            try:
                self._fs.pipe_file(self._at(path), content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                response = getattr(error.__cause__, "response", None) or {}
                if response.get("ResponseMetadata", {}).get("HTTPStatusCode") in _CONDITION_FAILED:
                    return False
                raise
            except (NotImplementedError, TypeError, ValueError) as error:
                raise self.no_conditional_writes() from error
            return True

    def no_conditional_writes(self) -> PolicyError:
        """Return the error for a store in which two writers could each believe to be alone."""
        return PolicyError(
            f"{self.url}: the store cannot write an object only where there is none (If-None-Match: *), without which "
            "two runs could write at the same time; use S3, Google Cloud Storage, Azure, R2 or MinIO, or a folder"
        )

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write files as objects, by path; one that is there is replaced."""
        with self._errors():
            if files:
                self._fs.put([str(file) for file in files.values()], [self._at(path) for path in files])

    def download(self, files: Mapping[str, Path]) -> None:
        """Read objects, by path, into files.

        Raises:
            DatasetError: There is no such object.
        """
        with self._errors():
            for file in files.values():
                file.parent.mkdir(parents=True, exist_ok=True)
            try:
                if files:
                    self._fs.get([self._at(path) for path in files], [str(file) for file in files.values()])
            except FileNotFoundError as error:
                raise DatasetError(f"{self.url}: an object is missing ({error})") from error

    def copy(self, paths: Sequence[tuple[str, str]]) -> None:
        """Copy objects within the store, each to another path."""
        with self._errors():
            if paths:
                self._fs.copy([self._at(path) for path, _ in paths], [self._at(path) for _, path in paths])

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""
        exact = [self._at(path) for path in paths]
        with self._errors():
            if not any(map(has_magic, exact)):  # else `rm` takes a path for a pattern
                try:
                    if exact:
                        self._fs.rm(exact)
                    return
                except FileNotFoundError:
                    pass  # others may still be there
            for path in exact:
                with suppress(FileNotFoundError):
                    self._fs.rm_file(path)

    def list(self, folder: str) -> list[str]:
        """Return the paths of all objects below a folder, sorted."""
        with self._errors():
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder))
        names = (path[len(self._root) :].lstrip("/") for path in found)
        return sorted(name for name in names if name)  # consoles make an object for the folder itself

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what a client raises, each its own classes, into errors that say what to do."""
        try:
            yield
        except FiltercrawlError:
            raise
        except PermissionError as error:
            raise AccessDeniedError(
                f"{self.url}: access denied ({_text(error)}); the credentials in use need to list, read, write and "
                "delete objects there"
            ) from error
        except Exception as error:
            if type(error).__name__.startswith(_NO_CREDENTIALS):
                raise AccessDeniedError(
                    f"{self.url}: {_text(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or "
                    "run on a machine with a role"
                ) from error
            raise NetworkError(f"{self.url}: {_text(error)}; run it again when the store can be reached") from error


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
