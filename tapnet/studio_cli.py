"""`tapnet studio` and `tapnet studio-user ...`: the annotation tool, and who may use it."""

from __future__ import annotations

import getpass
import logging
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

if TYPE_CHECKING:
    from tapnet.annotation.project import Project
    from tapnet.annotation.records import User

Role = Literal["annotator", "reviewer", "admin"]
Database = Annotated[
    str | None,
    arg(metavar="URL", help_behavior_hint="(default: a SQLite file in the folder)"),
]
Folder = Annotated[Path, arg(metavar="DIR")]
Pem = Annotated[Path | None, arg(metavar="FILE")]
Name = Annotated[Positional[str], arg(metavar="NAME")]

_UNITS = {"KB": 10, "MB": 20, "GB": 30, "TB": 40}


def studio(
    path: Annotated[Positional[Path], arg(metavar="FOLDER|VIDEO")] = Path(),
    /,
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1",
    port: int = 8765,
    database: Database = None,
    workers: int = 2,
    no_browser: FlagCreatePairsOff[bool] = False,
    max_upload: Annotated[str, arg(metavar="SIZE")] = "4GB",
    certificate: Pem = None,
    key: Pem = None,
) -> None:
    """Click points in videos, correct the tracks, annotate in a team: opens in your browser.

    For example:
      tapnet studio holiday.mp4
      tapnet studio clips --port 9000
      tapnet studio clips --host 0.0.0.0 --database postgresql://tapnet@db/annotation

    Args:
        path: A folder of videos, or one video. Tracks are kept in the folder, in .tapnet.
        host: Where to listen. With an address that others can reach, everyone logs in: make
            accounts first, with tapnet studio-user add.
        port: Where to listen; 0 takes one that is free.
        database: Where tracks are kept instead, such as postgresql://user:password@host/name.
        workers: Processes that compute tracks.
        no_browser: Only print the address.
        max_upload: Of a video that is uploaded, such as 500MB or 20GB.
        certificate: PEM file, for HTTPS instead of HTTP.
        key: PEM file of the certificate's key, if it is not in the same.
    """
    size = _bytes(max_upload)
    if workers < 0:
        raise ValueError(f"workers: expected 0 or more, got {workers}")
    folder, only = _folder_and_video(path)
    from tapnet.studio.options import Options
    from tapnet.studio.serving import is_loopback, serve

    logging.basicConfig(format="tapnet: %(message)s", level=logging.WARNING)
    options = Options(folder, database, not is_loopback(host), workers, size)
    if options.login:
        _check_accounts(folder, database)

    def ready(address: str) -> None:
        print(f"tapnet studio: {address} (videos in {folder}); Ctrl-C stops it", flush=True)
        if not no_browser:
            webbrowser.open(address)

    try:
        serve(options, host, port, only, ready, certificate, key)
    except KeyboardInterrupt:
        print("tapnet studio: stopped; everything is saved", file=sys.stderr)


def add(
    name: Name, /, role: Role = "annotator", folder: Folder = Path(), database: Database = None
) -> None:
    """Make an account. The password is asked for, or read from stdin.

    For example:
      tapnet studio-user add maria --role reviewer --folder clips

    Args:
        name: Of the person.
        role: annotators make tracks, reviewers also give out tasks and agree on tracks, admins
            also manage accounts and remove videos.
        folder: Folder of the videos.
        database: Where tracks are kept, if not in the folder.
    """
    with _opened(folder, database) as project:
        user = project.add_user(name, _password(), role)
    print(f"added {user.name}, {user.role}")


def password(name: Name, /, folder: Folder = Path(), database: Database = None) -> None:
    """Give someone a new password; it is asked for, or read from stdin.

    For example:
      tapnet studio-user password maria --folder clips

    Args:
        name: Of the person, who is logged out everywhere.
        folder: Folder of the videos.
        database: Where tracks are kept, if not in the folder.
    """
    with _opened(folder, database) as project:
        project.set_password(_user(project, name).id, _password())
    print(f"{name} has a new password")


def remove(name: Name, /, folder: Folder = Path(), database: Database = None) -> None:
    """Close an account; what the person made stays.

    For example:
      tapnet studio-user remove maria --folder clips

    Args:
        name: Of the person.
        folder: Folder of the videos.
        database: Where tracks are kept, if not in the folder.
    """
    with _opened(folder, database) as project:
        project.remove_user(_user(project, name).id)
    print(f"removed {name}")


def accounts(folder: Folder = Path(), database: Database = None) -> None:
    """List the accounts.

    For example:
      tapnet studio-user list --folder clips

    Args:
        folder: Folder of the videos.
        database: Where tracks are kept, if not in the folder.
    """
    with _opened(folder, database) as project:
        for user in project.users():
            print(f"{user.name:<24}{user.role}")


STUDIO_USER: dict[str, Callable[..., None]] = {
    "add": add,
    "list": accounts,
    "password": password,
    "remove": remove,
}


def _opened(folder: Path, database: str | None) -> closing[Project]:
    from tapnet.annotation.project import Project

    if not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of the videos; give it with --folder")
    return closing(Project.open(folder, database))


def _folder_and_video(path: Path) -> tuple[Path, Path | None]:
    if path.is_dir():
        return path.resolve(), None
    if path.is_file():
        return path.resolve().parent, path.resolve()
    raise FileNotFoundError(2, "expected a folder of videos, or a video; check the name", str(path))


def _check_accounts(folder: Path, database: str | None) -> None:
    with _opened(folder, database) as project:
        if not project.users():
            raise ValueError(
                "expected accounts, since others can reach this address, but there are none; "
                f"make one first: tapnet studio-user add NAME --role admin --folder {folder}"
            )


def _user(project: Project, name: str) -> User:
    for user in project.users():
        if user.name == name:
            return user
    names = ", ".join(user.name for user in project.users()) or "none"
    raise ValueError(f"no account {name!r}: there are {names}")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("again: "):
        raise ValueError("expected the same password twice; try again")
    return first


def _bytes(text: str) -> int:
    """The size that `text` says: 500MB."""
    number, unit = text[:-2].strip(), text[-2:].upper()
    if not number.isdecimal() or unit not in _UNITS:
        raise ValueError(f"size: expected a number and KB, MB, GB or TB such as 4GB, got {text!r}")
    return int(number) << _UNITS[unit]
