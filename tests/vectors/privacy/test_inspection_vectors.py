"""What inspection takes for personal data, by published examples and by what only looks like them.

Cards: the test numbers that the networks publish. IBANs: the examples of the SWIFT IBAN registry. National
numbers: the examples of python-stdnum and of the issuing authorities. Telephone numbers: ITU-T E.164 and
libphonenumber's own examples. IP addresses: RFC 5952, RFC 4291.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ringfort.privacy.inspection_patterns import PATTERNS, SIEVE

BY_KIND = {each.kind: each for each in PATTERNS}

FOUND = {
    "email": [
        "mail john.doe@example.com please",
        "<o'hara@a-b.co.uk>",
        "john @ example . com",
        "MÜLLER@exämple.de",
        '{"to":"a.b+tag@c.ie","n":1}',
        "x=1;mail=first_last@mail.example.museum;",
        "a@b.co",
    ],
    "phone": [
        "call +353 86 123 4567 now",
        "00353861234567",
        "086 123 4567",
        "01 23 45 67 89",
        "(415) 867-5309",
        "tel: 1234567",
        "+49 (0)171 1234567",
        "Telefon 0171/1234567",
        "+44 20 7946 0958",
        '{"p":"+33123456789"}',
        "ring 415-867-5309",
        "+420 601 123 456",
    ],
    "iban": [
        "IE64 IRCE 9205 0112 3456 78",
        "pay DE89370400440532013000 thanks",
        "gb82 west 1234 5698 7654 32 ok",
        "FR14 2004 1010 0505 0001 3M02 606",
        "MT84MALT011000012345MTLCAST001S",
        "NO93-8601-1117-947",
        "iban:NL91ABNA0417164300,bic",
        "BE68 5390 0754 7034",
    ],
    "card": [
        "4111 1111 1111 1111",
        "visa4111111111111111",
        "378282246310005",
        "5555-5555-5555-4444 12/27",
        "card 6011111111111117.",
        "3530111333300000",
        "30569309025904",
        "2223003122003222",
        "4222 2222 2222 2220",
    ],
    "ip_address": [
        "from 86.41.12.200",
        "2001:db8:85a3::8a2e:370:7334",
        "[2a02:26f0:11::17]",
        "86.41.12.200/32",
        "ip=192.168.17.30;",
        "2001:0db8:0000:0000:0001:0000:0000:0001",
    ],
    "url": [
        "https://example.org/users/123456",
        "www.shop.example/?uid=abcdef1234567890abcd",
        "https://bob@host/",
        "see http://x.example/p/550e8400-e29b-41d4-a716-446655440000#top",
    ],
    "national_id": [
        "RSSMRA85T10A562S",
        "131052-308T",
        "X5253868R",
        "850709-9805",
        "bsn 111222333",
        "PPS number: 6433435F",
        "756.9217.0769.85",
        "85.07.30-033.28",
        "11010519491231002X",
        "PESEL 44051401359",
        "1 84 12 76 451 089 46",
    ],
}
NOT_FOUND = [
    "@gmail.com",
    "j***@e***.com",
    "icon@2x.png",
    "user @ home",
    "a@b",
    "2011-12-09 10:15:00",
    "+1234567",
    "00123456",
    "09/12/2010",
    "01-02-2011",
    "ISO 9001-2015",
    "0-387-95584-1",
    "***67",
    "+353",
    "+44",
    "8.50 12.75 1000",
    "550e8400-e29b-41d4-a716-001555440000",
    "IE** **** 5678",
    "WHITE METAL LANTERN 85123A IE12",
    "**** 1111",
    "IE64 IRCE 9205 0112 3456 79",
    "4111 1111 1111 1112",
    "20231105-000123",
    "1.2.3.4",
    "86.41.12.0/24",
    "86.41.0.0/16",
    "2001:db8:85a3::/48",
    "12:34:56",
    "a::b",
    "Chrome/91.0.44.72",
    "127.0.0.1",
    "::1",
    "std::vector",
    "https://www.example.com/",
    "www.example.com/about",
    "https://example.com/2011/12",
    "20231105-0001",
    "100-20-300",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "RSSMRA85T10A562T",
    "bsn 111222334",
    "0000000000000000",
    "9781449373320",
    "INV-2024-000123",
    "536365",
    "C536379",
    "(text of up to 500 bytes)",
    "1980-1984",
    "minus 100-200",
    "2010-12",
    "***",
    "X5253868T",
    "Set of 6, 12 pcs, 3 x 4 cm",
    "10:30:00.123456+00",
    "0.1234567890123456",
    "2010-12-01T08:26:00Z",
    "14.12.2010 09:30",
    "M*** B***",
    "tel",
    "phone case 1234567",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_it_is_found(kind, text):
    assert BY_KIND[kind].holds(text)


@pytest.mark.parametrize("text", NOT_FOUND)
def test_it_is_not_found(text):
    assert [each.kind for each in PATTERNS if each.holds(text)] == []


def test_what_holds_passes_the_sieve():
    for kind, texts in FOUND.items():
        column = pa.array(texts)
        assert pc.all(pc.match_substring_regex(column, BY_KIND[kind].shape)).as_py()
        assert pc.all(pc.match_substring_regex(column, SIEVE)).as_py()
