# ruff: noqa: RUF001, SIM905 (Turkish has an i without a dot; words are easier to read and add to as text)
"""The words that made-up people are made of: names, streets and places of eight languages, most of them composed.

Every list is ordered by how common its words are; the order depends on the words alone, so it is the same everywhere.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product


@dataclass(frozen=True)
class Locale:
    """One language's words. `share` is its part of the people; in `streets`, `~` stands for the street's root.

    In `postcode`, `9` stands for a digit and `A` for a letter.
    """

    share: float
    calling_code: str
    postcode: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[str, ...]
    states: tuple[str, ...]


@dataclass(frozen=True)
class _Roots:
    share: float
    calling_code: str
    postcode: str
    first: str
    last: tuple[str, str]
    street: tuple[str, str]
    city: tuple[str, str]
    states: str


_ENGLISH = _Roots(
    0.36, "44", "AA99 9AA",
    "James Mary Robert Patricia John Jennifer Michael Elizabeth William Linda David Barbara Richard Susan Joseph "
    "Jessica "
    "Thomas Sarah Charles Karen Christopher Nancy Daniel Margaret Matthew Sandra Anthony Ashley Andrew Kimberly "
    "Steven "
    "Emily Paul Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian Deborah Edward Stephanie Ronald Rebecca "
    "Timothy "
    "Laura Jason Helen Jeffrey Cynthia Ryan Amy Jacob Angela Nicholas Kathleen Gary Alice Eric Ruth Jonathan Judith "
    "Stephen Megan Samuel Hannah Benjamin Grace Gregory Victoria Alexander Abigail Patrick Olivia Frank Sophia",
    ("Ash Brad Hart Wood Whit Har Ains Kings Stan Mar Wal Win Hol Clay Thorn Black Brook Hamp Bent Lang Rad Cop Fair "
     "Green Kirk Mel North Pem Red Shel Sut Tal Up West Ald Bar Car Dal Ed Far", "ton ley son ford well wood "
     "field er "
     "man worth by bury combe shaw land ridge s smith burn more"),
    ("Church Station Mill Park School Victoria Green Manor Queen King Bridge Orchard Chapel Grange New Spring "
     "Windsor "
     "Albert Alexandra Poplar Chestnut Maple Cedar Elm Oak Willow Birch Hawthorn Meadow River Lake Hill Forest "
     "Garden",
     "~_Street ~_Road ~_Avenue ~_Lane ~_Drive ~_Close ~_Court"),
    ("Ald Brack Chel Dun East Fen Glen Hather Inver Kel Lang Mid New Oak Pen Quar Rod Stan Tor Upp", "ton ford bury "
     "ham wick mouth port stead dale minster"),
    "KENT ESSEX DEVON SURREY DORSET NORFOLK SUFFOLK CUMBRIA",
)  # fmt: skip
_GERMAN = _Roots(
    0.15, "49", "99999",
    "Thomas Maria Michael Sabine Andreas Susanne Peter Petra Wolfgang Monika Klaus Ursula Jürgen Claudia Stefan "
    "Birgit "
    "Christian Andrea Uwe Stefanie Werner Gabriele Horst Heike Frank Katharina Dieter Anja Manfred Martina "
    "Günter Jörg "
    "Karin Alexander Nicole Matthias Kathrin Björn Renate Tobias Helga Lukas Jana Felix Hannelore Maximilian "
    "Lena Götz",
    ("Schön Berg Hoff Wald Stein Neu Kauf Bau Lind Eich Rosen Hart Kirch Mühl Brück Acker Löwen Weiß Schwarz "
     "Grün Zimmer "
     "Wein Fisch Birk Buch Feld Gold Silber Krau König", "mann er berg feld hauer meier bach stein inger ler "
     "haus wald "
     "ert ner hardt"),
    ("Haupt Bahnhof Garten Schul Dorf Berg Kirch Wald Linden Rosen Mühlen Schiller Goethe Mozart Beethoven Ring "
     "Wiesen "
     "Birken Buchen Eichen Tulpen Nelken Amsel Drossel Finken Post Markt Brunnen Burg Schloss",
     "~straße ~weg ~gasse ~allee ~platz"),
    ("Alt Bad_ Neu Ober Unter Lang Grün Schön Wolfs Königs Kirch Hohen Stein Rot Weiß Frei Hall Linden", "burg stadt "
     "heim hausen dorf feld bach berg furt"),
    "BY BW NW HE NI SN BE HH RP SH",
)  # fmt: skip
_FRENCH = _Roots(
    0.12, "33", "99999",
    "Jean Marie Pierre Nathalie Michel Isabelle André Sylvie Philippe Catherine René Françoise Louis Martine Alain "
    "Christine Jacques Monique Bernard Valérie Daniel Sandrine Marcel Véronique Gérard Céline Nicolas Stéphanie "
    "François "
    "Chantal Olivier Jacqueline Éric Aurélie Julien Brigitte Stéphane Élodie Hélène Jérôme Camille Benoît Zoé Loïc",
    ("Beau Mont Ville Roche Font Bel Cour Dela Du Grand Saint- Mar Les Char Bon Gau Per Lam Mor Va",
     "mont court champ lier bois fort neuve main tin gnon chet dier ville rand ton"),
    ("la_République l'Église la_Gare la_Paix la_Mairie la_Liberté Verdun l'École Victor_Hugo Pasteur Jean_Jaurès "
     "Moulin Fontaine Château Lilas Rosiers Tilleuls Jardins Prés Vignes Acacias Peupliers",
     "Rue_de_~ Avenue_de_~ Place_de_~ Boulevard_de_~ Chemin_de_~ Impasse_de_~"),
    ("Mont Ville Château Beau Roche Saint- Font Clair Belle Haute Neuf Bois Pont", "fort neuve rive lieu bourg "
     "val mont "
     "-sur-Loire -le-Roi ville"),
    "IDF ARA BRE NOR OCC NAQ PAC HDF",
)  # fmt: skip
_SPANISH = _Roots(
    0.12, "34", "99999",
    "María José Antonio Carmen Juan Ana Manuel Isabel Francisco Dolores Luis Pilar Javier Teresa Miguel Rosa Carlos "
    "Francisca Ángel Cristina Jesús Laura Pedro Mercedes Alejandro Antonia Fernando Lucía Pablo Marta Sergio Elena "
    "Jorge Raquel Rafael Beatriz Alberto Rocío Álvaro Mónica Diego Inés Iñaki Begoña Ramón Concepción",
    ("Gonz Mart Rodr Fern Lóp Sánch Ram Álv Jim Herr Dom Guti Núñ Vázq Mor Ort Rub Serr Cast Garr", "ález ínez íguez "
     "ández ez írez ero illo ano ena osa eda uel ondo"),
    ("Mayor Real Sol Luna San_José Santa_Ana la_Iglesia la_Fuente las_Flores los_Olivos Constitución España Goya "
     "Cervantes Colón Molino Huertas Nueva Ancha Larga", "Calle_~ Avenida_~ Plaza_~ Paseo_~ Camino_de_~"),
    ("Villa Puente Torre Monte Alcalá_de_ San_ Fuente Peña Campo Valle Casa", "nueva real hermosa mayor blanca "
     "roja seca "
     "fría alta _del_Río"),
    "AND CAT MAD VAL GAL CYL EUS CAN",
)  # fmt: skip
_ITALIAN = _Roots(
    0.08, "39", "99999",
    "Giuseppe Maria Giovanni Anna Antonio Giuseppina Mario Rosa Luigi Angela Francesco Giovanna Angelo Teresa "
    "Vincenzo "
    "Lucia Pietro Carmela Salvatore Caterina Carlo Francesca Franco Antonietta Domenico Carla Bruno Elena Paolo "
    "Concetta "
    "Michele Rita Giorgio Margherita Aldo Franca Sergio Paola Luciano Chiara Niccolò Desirée",
    ("Bian Ros Ferr Espos Rom Col Ric Mar Grec Bru Gal Con De_Lu Man Cos Gior Riz Lom Mor Bar", "chi si ari ito "
     "ano ombo "
     "ci ino o ni lo ti ca dano zo bardi etti elli"),
    ("Roma Garibaldi Mazzini Dante Cavour Verdi Marconi Matteotti Vittorio_Emanuele della_Libertà dei_Mille "
     "San_Marco "
     "delle_Rose del_Popolo Leopardi Manzoni Volta Galilei", "Via_~ Viale_~ Piazza_~ Corso_~ Vicolo_~"),
    ("Monte Castel Villa Ponte San_ Campo Rocca Torre Borgo Val", "nuovo vecchio rosso bello franco chiaro santo "
     "d'Oro "
     "forte alto"),
    "RM MI NA TO FI BO VE PA",
)  # fmt: skip
_SWEDISH = _Roots(
    0.06, "46", "999 99",
    "Lars Anna Karl Eva Anders Maria Johan Karin Per Kristina Nils Lena Erik Sara Mikael Kerstin Jan Emma Hans "
    "Ingrid "
    "Olof Malin Gunnar Marie Sven Jenny Fredrik Åsa Bengt Birgitta Göran Märta Håkan Linnéa Jörgen Ulrika Björn "
    "Sofia",
    ("Anders Johan Karl Nils Erik Lars Ols Pers Svens Gustafs Berg Lind Lund Sand Ek Hög Sjö Strand Norr Öst "
     "Dahl Ny Häll",
     "son ström gren berg kvist qvist man ås holm lund"),
    ("Stor Kyrko Skol Drottning Kungs Järnvägs Park Björk Ek Sjö Berg Ängs Åker Strand Norra_ Södra_ Väster Öster",
     "~gatan ~vägen ~gränd ~torget ~stigen"),
    ("Norr Söder Väster Öster Lind Karl Kristian Hel Ny Ek Sund Malm", "köping stad borg vall sund berg by hamn ås"),
    "AB O M E C D T",
)  # fmt: skip
_POLISH = _Roots(
    0.06, "48", "99-999",
    "Anna Piotr Maria Krzysztof Katarzyna Andrzej Małgorzata Tomasz Agnieszka Paweł Barbara Jan Ewa Michał Krystyna "
    "Marcin Magdalena Stanisław Elżbieta Jakub Joanna Adam Zofia Łukasz Teresa Marek Monika Grzegorz Danuta Józef "
    "Natalia Wojciech Jadwiga Rafał Helena Zbigniew Irena Dawid Beata Świętosława",
    ("Kowal Wiśniew Wójc Lewandow Zieliń Szymań Woźnia Dąbrow Kozłow Jankow Mazur Kwiatkow Krawcz Piotrow Grabow "
     "Nowakow "
     "Pawłow Michal Jabłoń Wróblew", "ski cki czyk iak ek owicz ewicz uk ak ik"),
    ("Polna Leśna Słoneczna Krótka Szkolna Ogrodowa Lipowa Łąkowa Brzozowa Kwiatowa Kościelna Sosnowa Zielona "
     "Parkowa "
     "Akacjowa Kościuszki Mickiewicza Piłsudskiego", "ulica_~ aleja_~ plac_~"),
    ("Nowo Staro Biały Czarn Dąbr Jasn Kamien Lip Sosn Wol Zielon Ostr", "gród owo ów ica iec sk ka na yn"),
    "MZ SL WP MP DS LD PM",
)  # fmt: skip
_TURKISH = _Roots(
    0.05, "90", "99999",
    "Mehmet Fatma Mustafa Ayşe Ahmet Emine Ali Hatice Hüseyin Zeynep Hasan Elif İbrahim Meryem İsmail Şerife "
    "Osman Zehra "
    "Yusuf Sultan Murat Hanife Ömer Merve Ramazan Özlem Halil Havva Süleyman Zeliha Çağlar Gülşen Uğur Işıl",
    ("Yıl Ka De Şa Çe Öz Ay Kı Do Ars Koç Kur Ko Şim Pol Er", "maz ya mir hin lik türk dın lıç ğan lan ak t ç "
     "şek at doğan "
     "taş demir oğlu soy"),
    ("Atatürk Cumhuriyet İstiklal Barış Gül Lale Çınar Papatya Menekşe Okul Fatih Mimar_Sinan Yunus_Emre İnönü Zafer",
     "~_Caddesi ~_Sokak ~_Bulvarı"),
    ("Yeni Eski Ak Kara Gök Güzel Kızıl Yeşil Sarı Büyük Taş", "köy şehir pınar tepe hisar dere bahçe göl su"),
    "IST ANK IZM ADA BUR ANT",
)  # fmt: skip

NICKNAMES: Mapping[str, str] = dict(
    pair.split(":")
    for pair in (
        "James:Jim Robert:Bob John:Jack Michael:Mike William:Bill David:Dave Richard:Rick Joseph:Joe Thomas:Tom "
        "Charles:Chuck Christopher:Chris Daniel:Dan Matthew:Matt Anthony:Tony Andrew:Andy Steven:Steve Joshua:Josh "
        "Kenneth:Ken Edward:Ted Ronald:Ron Timothy:Tim Jeffrey:Jeff Jacob:Jake Nicholas:Nick Jonathan:Jon "
        "Stephen:Steve "
        "Samuel:Sam Benjamin:Ben Gregory:Greg Alexander:Alex Patrick:Pat Patricia:Patty Jennifer:Jenny Elizabeth:Liz "
        "Barbara:Barb Susan:Sue Jessica:Jess Margaret:Peggy Sandra:Sandy Kimberly:Kim Michelle:Shelly Amanda:Mandy "
        "Deborah:Debbie Stephanie:Steph Rebecca:Becky Cynthia:Cindy Kathleen:Kathy Judith:Judy Victoria:Vicky "
        "Abigail:Abby "
        "Andreas:Andi Susanne:Susi Wolfgang:Wolfi Ursula:Uschi Gabriele:Gabi Katharina:Kathi Matthias:Matze "
        "Tobias:Tobi "
        "Maximilian:Max Catherine:Cathy Nathalie:Nath Philippe:Phil Nicolas:Nico José:Pepe Francisco:Paco "
        "Manuel:Manolo "
        "Dolores:Lola Isabel:Isa Alejandro:Álex Concepción:Concha Jesús:Chus Giuseppe:Beppe Giovanni:Gianni "
        "Francesco:Franco Francesca:Checca Salvatore:Totò Margherita:Rita Fredrik:Figge Mikael:Micke Kristina:Stina "
        "Krzysztof:Krzysiek Katarzyna:Kasia Małgorzata:Gosia Agnieszka:Aga Magdalena:Magda Elżbieta:Ela "
        "Stanisław:Staszek "
        "Mehmet:Memo Mustafa:Mıstık İbrahim:İbo"
    ).split()
)
ABBREVIATIONS: tuple[tuple[str, str], ...] = (
    (" Street", " St."), (" Road", " Rd"), (" Avenue", " Ave"), (" Lane", " Ln"), (" Drive", " Dr."),
    (" Close", " Cl."), (" Court", " Ct"), ("straße", "str."), ("platz", "pl."), ("Rue de ", "R. "),
    ("Avenue de ", "Av. "), ("Boulevard de ", "Bd "), ("Place de ", "Pl. "), ("Chemin de ", "Ch. "), ("Calle "
     "", "C/ "),
    ("Avenida ", "Avda. "), ("Plaza ", "Pza. "), ("Piazza ", "P.za "), ("Viale ", "V.le "), ("Via ", "V. "
     ""), ("Corso ", "C.so "),
    ("gatan", "g."), ("vägen", "v."), ("ulica ", "ul. "), ("aleja ", "al. "), ("plac ", "pl. "),
    (" Caddesi", " Cad."), (" Sokak", " Sk."), (" Bulvarı", " Blv."),
)  # fmt: skip
SOUNDS: tuple[tuple[str, str], ...] = (
    ("ph", "f"), ("ck", "k"), ("th", "t"), ("ei", "ie"), ("ie", "y"), ("ä", "ae"), ("ö", "oe"), ("ü", "ue"),
    ("ß", "ss"), ("sch", "sh"), ("tz", "z"), ("mm", "m"), ("nn", "n"), ("ll", "l"), ("ss", "s"), ("qu", "kw"),
    ("ou", "u"), ("ch", "k"), ("ł", "l"), ("ş", "s"), ("ç", "c"), ("v", "w"), ("c", "k"), ("z", "s"), ("i", "y"),
)  # fmt: skip
MAIL_DOMAINS = tuple(f"{name}.example" for name in "mailbox webpost inbox fastmail letters postbox home office".split())
MAIL_WORDS = (
    "sunny lucky blue happy silver golden little wild magic super cool dark star moon river tiger eagle wolf "
    "panda fox "
    "bear rose lily ninja pirate rider hunter dreamer gamer runner dancer reader baker gardener sailor traveller"
).split()


@cache
def read_locales() -> tuple[Locale, ...]:
    """Return the languages, their shares adding up to 1."""
    roots = (_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _SWEDISH, _POLISH, _TURKISH)
    return tuple(_compose(one) for one in roots)


def fold(text: str) -> str:
    """Return `text` in lower-case ASCII letters only, as it would stand in an e-mail address."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ı", "i").replace("ł", "l"))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())


def _compose(roots: _Roots) -> Locale:
    first = tuple(roots.first.split())
    # men and women take turns in the lists
    double = _scatter(f"{one}-{other}" for sex in (0, 1) for one, other in permutations(first[sex:16:2], 2))
    return Locale(
        share=roots.share,
        calling_code=roots.calling_code,
        postcode=roots.postcode,
        first_names=first + double,
        last_names=_scatter(one + other for one, other in _products(roots.last)),
        streets=_scatter(kind.replace("~", root) for root, kind in _products(roots.street)),
        cities=_scatter(one + (other.title() if one.endswith("_") else other) for one, other in _products(roots.city)),
        states=tuple(roots.states.split()),
    )


def _products(lists: tuple[str, str]) -> Iterable[tuple[str, str]]:
    return product(lists[0].split(), lists[1].split())


def _scatter(words: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words in an order that looks random, so that the common ones share no beginning."""
    spaced = {word.replace("_", " ") for word in words}
    return tuple(sorted(spaced, key=lambda word: (zlib.crc32(word.encode()), word)))
