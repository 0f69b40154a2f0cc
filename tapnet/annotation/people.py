"""Users, their passwords and their sessions.

A password is kept as `scrypt$n$r$p$salt$hash`, a session as the SHA-256 of its token.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from tapnet.annotation.part import Part, found
from tapnet.annotation.records import ROLES, User
from tapnet.annotation.schema import sessions, users

LOCAL = "local"  # works without a login, on the machine itself
SHORTEST, LONGEST = 8, 1000  # characters of a password
_COST = (2**14, 8, 5)  # n, r, p of scrypt: 16 MiB and some 0.2 s


class People(Part):
    """Who may do what."""

    def add_user(self, name: str, password: str, role: str) -> User:
        """A new user who logs in with `password`. ValueError when the name is taken."""
        if not name.strip() == name or not 1 <= len(name) <= 100 or not name.isprintable():
            raise ValueError(
                f"name: expected 1 to 100 characters, none of them blank at an end, got {name!r}"
            )
        _check_role(role)
        row = {"name": name, "role": role, "password": _hashed(password), "removed": False}
        taken = f"name: there is already a user {name!r}; choose another name"
        if name == LOCAL:
            raise ValueError(taken)
        try:
            with self._database.writing() as write:
                made = write.execute(users.insert().returning(users.c.id), row).scalar_one()
        except IntegrityError as error:
            raise ValueError(taken) from error
        return User(made, name, role)

    def users(self) -> list[User]:
        """Those who can log in, by name."""
        rows = sa.select(users).where(_there(), users.c.password.is_not(None))
        with self._database.reading() as read:
            return [_user(row) for row in read.execute(rows.order_by(users.c.name))]

    def user(self, user_id: int) -> User:
        """The user of that number. KeyError when there is none, or removed."""
        with self._database.reading() as read:
            return user_of(read, user_id)

    def set_password(self, user_id: int, password: str) -> None:
        """Changes the password, and ends the sessions of the user."""
        self._change_user(user_id, password=_hashed(password))

    def set_role(self, user_id: int, role: str) -> User:
        """Changes the role, and ends the sessions of the user."""
        _check_role(role)
        return self._change_user(user_id, role=role)

    def remove_user(self, user_id: int) -> None:
        """The user can no longer log in; their work and their name in it stay."""
        self._change_user(user_id, removed=True, password=None)

    def _change_user(self, user_id: int, **values: object) -> User:
        change = users.update().where(users.c.id == user_id, _there(), users.c.name != LOCAL)
        with self._database.writing() as write:
            row = write.execute(change.values(**values).returning(users)).first()
            write.execute(sessions.delete().where(sessions.c.user_id == user_id))
        return _user(found(row, "user", user_id))

    def check_password(self, name: str, password: str) -> User | None:
        """The user, when that is the password. An unknown name takes as long as a known one."""
        with self._database.reading() as read:
            row = read.execute(sa.select(users).where(users.c.name == name, _there())).first()
        stored = row.password if row is not None and row.password else _stored(bytes(16), bytes(32))
        right = _matches(password, stored)
        return _user(row) if right and row is not None else None

    def local_user(self) -> User:
        """Who works without a login on the machine itself: an admin of the name "local"."""
        rows = sa.select(users).where(users.c.name == LOCAL, _there())
        with self._database.reading() as read:
            row = read.execute(rows).first()
        if row is None:
            try:
                with self._database.writing() as write:
                    made = users.insert().values(name=LOCAL, role="admin", removed=False)
                    row = write.execute(made.returning(users)).one()
            except IntegrityError:  # another process made it meanwhile
                return self.local_user()
        return _user(row)

    def new_session(self, user_id: int, seconds: float) -> str:
        """A random token that stands for the user for so long."""
        token = secrets.token_urlsafe(32)
        with self._database.writing() as write:
            known = sa.select(users.c.id).where(users.c.id == user_id, _there())
            found(write.execute(known).first(), "user", user_id)
            write.execute(sessions.delete().where(sessions.c.expires < write.now))
            row = {"hash": _digest(token), "user_id": user_id, "expires": write.now + seconds}
            write.execute(sessions.insert(), row)
        return token

    def session(self, token: str) -> User | None:
        """Whom the token stands for, while it does."""
        held = sessions.c.hash == _digest(token)
        rows = sa.select(users).join(sessions).where(held, sessions.c.expires > time.time())
        with self._database.glancing() as read:
            row = read.execute(rows.where(_there())).first()
        return None if row is None else _user(row)

    def end_session(self, token: str) -> None:
        """The token stands for nobody any more."""
        with self._database.writing() as write:
            write.execute(sessions.delete().where(sessions.c.hash == _digest(token)))


def user_of(read: sa.Connection, user_id: int) -> User:
    """The user of that number. KeyError when there is none, or removed."""
    row = read.execute(sa.select(users).where(users.c.id == user_id, _there())).first()
    return _user(found(row, "user", user_id))


def _there() -> sa.ColumnElement[bool]:
    return users.c.removed == sa.false()


def _user(row: sa.Row) -> User:
    return User(row.id, row.name, row.role)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise ValueError(f"role: expected {', '.join(ROLES)}, got {role!r}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _hashed(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(
            f"password: expected {SHORTEST} to {LONGEST} characters, got {len(password)}"
        )
    salt = os.urandom(16)
    return _stored(salt, _scrypt(password, salt, *_COST))


def _stored(salt: bytes, hashed: bytes) -> str:
    return "$".join(["scrypt", *map(str, _COST), salt.hex(), hashed.hex()])


def _matches(password: str, stored: str) -> bool:
    _, n, r, p, salt, expected = stored.split("$")
    got = _scrypt(password[: LONGEST + 1], bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(got, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    room = 2 * 128 * n * r * p
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=room, dklen=32)
