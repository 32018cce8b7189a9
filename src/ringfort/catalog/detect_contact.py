"""Value tests: e-mail addresses, telephone numbers, IP addresses, web addresses, user agents. Total."""

from __future__ import annotations

import ipaddress
import re

EMAIL = re.compile(r"[^\s@<>,;:\"()]+@[^\s@<>,;:\"()]+\.[^\s@<>,;:\"().\d][^\s@<>,;:\"().]+")
_PHONE = re.compile(r"(\+|00)?[(\d][\d\s().\-/]{5,22}\d(\s*(x|ext\.?)\s*\d{1,6})?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}")
_NUMBER = re.compile(r"-?\d+([.,]\d+)?")
_URL = re.compile(r"(https?|ftp)://\S+|www\.\S+\.\S+", re.IGNORECASE)
_USER_AGENT = re.compile(r"(mozilla|opera|dalvik|curl|wget|python-requests|okhttp)/\d", re.IGNORECASE)


def is_email(text: str) -> bool:
    """Whether the whole of `text` is an e-mail address, by its shape."""
    return EMAIL.fullmatch(text.strip()) is not None


def is_phone(text: str) -> bool:
    """Whether `text` is a telephone number as people write it; digits alone may be anything and are none."""
    value = text.strip()
    digits = sum(each.isdigit() for each in value)
    if not 7 <= digits <= 18 or _PHONE.fullmatch(value) is None:
        return False
    return _DATE.match(value) is None and _NUMBER.fullmatch(value) is None


def is_phone_digits(text: str) -> bool:
    """Whether `text` could be a telephone number where a name says so: 7 to 15 digits, maybe signs."""
    return 7 <= sum(each.isdigit() for each in text) <= 15 and not any(each.isalpha() for each in text[:8])


def is_ip_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, with or without a prefix length."""
    address, _, prefix = text.strip().partition("/")
    if not ("." in address or ":" in address) or (prefix and not prefix.isdecimal()):
        return False
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def is_url(text: str) -> bool:
    """Whether `text` is a web address."""
    return _URL.fullmatch(text.strip()) is not None


def is_user_agent(text: str) -> bool:
    """Whether `text` is what a browser or a program says of itself."""
    return _USER_AGENT.match(text.strip()) is not None
