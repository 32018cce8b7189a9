"""What people of the demo population write: messages by language, titles of videos.

In messages `{name}` stands for the recipient's given name, `{email}` and `{phone}` for the sender's own:
people do write them into free text, which is why a message body is restricted data. Titles name topics and
towns only.
"""

from __future__ import annotations

from typing import NamedTuple


class Phrases(NamedTuple):
    """Sentences of one language."""

    plain: tuple[str, ...]
    contact: tuple[str, ...]  # each with `{email}` or `{phone}`


PHRASES = {
    "en": Phrases(
        (
            "Hi {name}, loved your last video!",
            "thanks, that helped a lot",
            "Are you streaming again on Friday?",
            "lol same here",
            "{name}, did you get the refund in the end?",
            "How did you film the part at the lake?",
            "ok",
            "Sorry for the late answer, I was in hospital with my son.",
            "Happy birthday {name}!!! 🎂",
            "see you tomorrow at eight",
            "The sound drops out after 3:20, maybe re-upload?",
        ),
        (
            "Better write to me at {email}, I am rarely online here.",
            "Call me on {phone} when you are near the station.",
            "my new number: {phone}",
            "{name} please send the invoice to {email} thx",
        ),
    ),
    "de": Phrases(
        (
            "Hallo {name}, tolles Video!",
            "Vielen Dank für die schnelle Antwort.",
            "Kommst du am Samstag auch nach Köln?",
            "bin grad beim Arzt, melde mich später",
            "Wo hast du das Mikrofon gekauft?",
            "Passt, bis morgen 👍",
        ),
        (
            "Schreib mir lieber an {email}, hier lese ich selten.",
            "Meine Nummer ist {phone}, ruf einfach an.",
        ),
    ),
    "nl": Phrases(
        (
            "Hoi {name}, leuke video!",
            "Dank je wel, heel handig.",
            "Ben je zaterdag thuis?",
            "haha precies",
            "Ik ben deze week ziek, volgende week graag.",
        ),
        ("Mail me maar op {email}.", "Bel me even op {phone}."),
    ),
    "fr": Phrases(
        (
            "Salut {name}, j'ai adoré ta vidéo !",
            "Merci beaucoup pour ton aide.",
            "Tu viens dimanche chez mes parents ?",
            "mdr",
            "Où as-tu tourné la scène du marché ?",
            "Désolée, je sors de chez le médecin.",
        ),
        ("Écris-moi plutôt à {email}.", "Mon numéro : {phone}, appelle quand tu veux."),
    ),
    "es": Phrases(
        (
            "Hola {name}, ¡me encantó el vídeo!",
            "Muchas gracias, muy útil.",
            "¿Vienes el sábado a la fiesta?",
            "jajaja",
            "¿Qué cámara usas?",
            "Estoy de baja, hablamos la semana que viene.",
        ),
        ("Escríbeme a {email}, por favor.", "Llámame al {phone} cuando puedas."),
    ),
    "it": Phrases(
        (
            "Ciao {name}, bellissimo video!",
            "Grazie mille, utilissimo.",
            "Ci vediamo domani alle otto?",
            "ahahah",
            "Che obiettivo hai usato?",
        ),
        ("Scrivimi a {email}.", "Chiamami al {phone}, perché qui non guardo mai."),
    ),
    "pl": Phrases(
        (
            "Cześć {name}, świetny film!",
            "Dzięki, bardzo mi pomogłeś.",
            "Będziesz w sobotę?",
            "hehe",
            "Gdzie kupiłaś ten statyw?",
        ),
        ("Napisz na {email}, tu rzadko zaglądam.", "Mój numer: {phone}"),
    ),
    "pt": Phrases(
        (
            "Olá {name}, adorei o vídeo!",
            "Muito obrigado, ajudou imenso.",
            "kkk",
            "Quando sai o próximo episódio?",
        ),
        ("Escreve-me para {email}.", "Liga-me: {phone}"),
    ),
    "ro": Phrases(
        (
            "Salut {name}, foarte fain videoclipul!",
            "Mulțumesc mult!",
            "Vii și tu sâmbătă?",
            "Unde ai filmat?",
        ),
        ("Scrie-mi la {email}.", "Numărul meu este {phone}."),
    ),
    "sv": Phrases(
        (
            "Hej {name}, vilken bra video!",
            "Tack så mycket!",
            "Ses vi på lördag?",
            "haha",
            "Var är det filmat?",
        ),
        ("Mejla mig på {email}.", "Ring mig på {phone}."),
    ),
    "cs": Phrases(
        ("Ahoj {name}, skvělé video!", "Díky moc.", "Přijdeš v sobotu?", "Kde jsi to natáčel?"),
        ("Napiš mi na {email}.", "Moje číslo je {phone}."),
    ),
    "hu": Phrases(
        ("Szia {name}, nagyon jó a videó!", "Köszönöm szépen!", "Jössz szombaton?", "Hol vetted fel?"),
        ("Írj inkább ide: {email}", "A számom: {phone}"),
    ),
    "el": Phrases(
        ("Γεια σου {name}, τέλειο βίντεο!", "Ευχαριστώ πολύ!", "Θα έρθεις το Σάββατο;", "Πού το γύρισες;"),
        ("Στείλε μου στο {email}", "Πάρε με τηλέφωνο: {phone}"),
    ),
    "bg": Phrases(
        ("Здравей {name}, страхотно видео!", "Благодаря много!", "Ще дойдеш ли в събота?", "Къде го снима?"),
        ("Пиши ми на {email}", "Номерът ми е {phone}"),
    ),
    "uk": Phrases(
        ("Привіт {name}, чудове відео!", "Дуже дякую!", "Ти будеш у суботу?", "Де це знято?"),
        ("Пиши мені на {email}", "Мій номер {phone}"),
    ),
    "ga": Phrases(
        ("Haigh {name}, físeán iontach!", "Go raibh míle maith agat.", "An mbeidh tú ann Dé Sathairn?"),
        ("Scríobh chugam ag {email}.", "Cuir glaoch orm: {phone}"),
    ),
    "hi": Phrases(
        ("नमस्ते {name}, बहुत अच्छा वीडियो!", "बहुत धन्यवाद", "शनिवार को मिलते हैं?"),
        ("मुझे {email} पर लिखो", "मेरा नंबर {phone} है"),
    ),
    "ja": Phrases(
        (
            "{name}さん、動画とても良かったです！",
            "ありがとうございます。",
            "土曜日は来られますか？",
            "了解です",
        ),
        ("{email} に連絡してください。", "電話は {phone} です。"),
    ),
    "tr": Phrases(
        (
            "Merhaba {name}, harika bir video!",
            "Çok teşekkürler!",
            "Cumartesi geliyor musun?",
            "Nerede çektin?",
        ),
        ("Bana {email} adresinden yaz.", "Numaram {phone}"),
    ),
}

# The most watched first. `{topic}`, `{town}` and `{number}` are filled.
CATEGORIES = {
    "music": ("live session", "piano cover", "trad session", "studio tour", "choir rehearsal", "drum lesson"),
    "gaming": ("speedrun", "let's play", "boss fight", "retro console repair", "map guide"),
    "cooking": ("sourdough bread", "fish soup", "vegan stew", "pierogi", "apple cake", "one-pot pasta"),
    "travel": ("night train", "weekend", "bike tour", "hidden corners", "ferry crossing", "city walk"),
    "sport": ("half marathon", "five-a-side final", "climbing hall", "sea swimming", "yoga for beginners"),
    "education": (
        "fractions explained",
        "irregular verbs",
        "soldering basics",
        "tax return",
        "history of the port",
    ),
    "comedy": ("stand-up night", "worst dubbing ever", "dad jokes", "office sketch"),
    "pets": ("rescue kittens", "puppy training", "budgie talks", "vet visit"),
    "news": ("council meeting", "storm damage", "local election", "new tram line"),
    "crafts": ("knitting a scarf", "wood turning", "linocut", "repairing a chair"),
}
TITLES = (
    "{topic} in {town}",
    "{topic} | {town}",
    "{topic} #{number}",
    "{topic} (part {number})",
    "{topic}, {town}: what I learned",
    "I tried {topic} for {number} days",
)
