# Der Rahmen aller Seiten: Navigation, Hinweise, Fehler, Daten, Größen.

skip-to-content = Zum Inhalt springen
skip-to-messages = Zu den Nachrichten springen
sending-stopped = Sie können zurzeit keine E-Mails senden: { $why }. Wartende Nachrichten werden zurückgehalten. Wenn Sie das nicht selbst waren, [ändern Sie Ihr Passwort] und bitten Sie dann Ihren Administrator, das Senden wieder zu erlauben.
vacation-on = Ihre [Abwesenheitsnotiz] ist aktiv.
vacation-end = Ausschalten
search-mail = E-Mails durchsuchen
search-hint = Suchen Sie nach Wörtern, oder mit from: to: subject: in: has:attachment is:unread is:starred before: after:
shortcuts = Tastenkürzel
your-account = Ihr Konto
settings = Einstellungen
security = Sicherheit
rewind = Zurückspulen
help = Hilfe
administration = Verwaltung
sign-out = Abmelden
mailboxes = Ordner
mailboxes-manage = Ordner verwalten
searches = Suchen
searches-manage = Suchen verwalten
compose = Schreiben
address-book = Adressbuch
storage-used = Belegter Speicher
storage = { $used } von { $limit } belegt
unread = ungelesen
drafts-after-number = { $n ->
    [one] Entwurf
   *[other] Entwürfe
}
undo = Rückgängig
show = Anzeigen
open = Öffnen
save = Speichern
cancel = Abbrechen
delete = Löschen

inbox = Posteingang
drafts = Entwürfe
sent = Gesendet
archive = Archiv
spam = Spam
trash = Papierkorb

messages = { $n ->
    [one] { $n } Nachricht
   *[other] { $n } Nachrichten
}
conversations = { $n ->
    [one] { $n } Unterhaltung
   *[other] { $n } Unterhaltungen
}
draft-count = { $n ->
    [one] { $n } Entwurf
   *[other] { $n } Entwürfe
}
unread-messages = { $n ->
    [one] { $n } ungelesene Nachricht
   *[other] { $n } ungelesene Nachrichten
}
days = { $n ->
    [one] { $n } Tag
   *[other] { $n } Tage
}
seconds = { $n ->
    [one] einer Sekunde
   *[other] { $n } Sekunden
}
minutes = { $n ->
    [one] einer Minute
   *[other] { $n } Minuten
}

fault-sign-in = Anmelden
fault-sign-in-text = Melden Sie sich an, um fortzufahren.
fault-not-found = Nicht gefunden
fault-not-found-text = Unter dieser Adresse gibt es nichts. Vielleicht wurde es verschoben oder gelöscht.
fault-forbidden = Nicht erlaubt
fault-bad = Das hat nicht funktioniert
fault-too-large = Zu groß
fault-too-many = Zu viele Anfragen
fault-try-again = Versuchen Sie es in { $wait } noch einmal.
fault-unavailable = Vorübergehend nicht verfügbar
fault-internal = Etwas ist schiefgegangen
fault-internal-text = Der Fehler liegt bei uns und steht im Protokoll des Servers. Was Sie eingegeben haben, ist vielleicht noch da, wenn Sie zurückgehen.
fault-link = Zu Ihren E-Mails
fault-reference = Kennung für Ihren Administrator: { $reference }

notice-undone = Rückgängig gemacht.
notice-unsent = Senden rückgängig gemacht. Die Nachricht ist wieder ein Entwurf.
notice-too-late = Zu spät: Die Nachricht ist schon unterwegs.
notice-discarded = Entwurf verworfen.
notice-saved = Gespeichert.
notice-settings = Einstellungen gespeichert.
notice-created = Angelegt.
notice-sent = Gesendet.
notice-mailbox-deleted = Ordner gelöscht. Seine Nachrichten liegen im Papierkorb.
notice-search-saved = Suche gespeichert. Sie steht in der Seitenleiste.
notice-search-deleted = Gespeicherte Suche gelöscht.
notice-recent-gone = Ihre letzten Suchen sind vergessen.
notice-elsewhere = Diese Unterhaltung liegt jetzt in „{ $mailbox }“.
notice-spam-reset = Der Spamfilter hat vergessen, was er von Ihnen gelernt hat.
act-archived = { $what } archiviert.
act-spam = { $what } als Spam gemeldet.
act-deleted = { $what } endgültig gelöscht.
act-trash = { $what } in den Papierkorb verschoben.
act-moved = { $what } nach „{ $mailbox }“ verschoben.
act-read = { $what } als gelesen markiert.
act-unread = { $what } als ungelesen markiert.

yesterday = Gestern
date-day = { $day }. { $month } { $year }
date-short = { $day }. { $month }
date-short-year = { $day }. { $month } { $year }
date-full = { $weekday }, { $date }, { $time }
time-am = { $time } AM
time-pm = { $time } PM
month = { $month ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
}
month-short = { $month ->
    [1] Jan.
    [2] Feb.
    [3] März
    [4] Apr.
    [5] Mai
    [6] Juni
    [7] Juli
    [8] Aug.
    [9] Sept.
    [10] Okt.
    [11] Nov.
   *[12] Dez.
}
weekday = { $day ->
    [1] Montag
    [2] Dienstag
    [3] Mittwoch
    [4] Donnerstag
    [5] Freitag
    [6] Samstag
   *[7] Sonntag
}
ago-now = gerade eben
ago-minutes = { $n ->
    [one] vor { $n } Minute
   *[other] vor { $n } Minuten
}
ago-hours = { $n ->
    [one] vor einer Stunde
   *[other] vor { $n } Stunden
}
ago-yesterday = gestern
ago-days = { $n ->
    [one] vor { $n } Tag
   *[other] vor { $n } Tagen
}
attribution = Am { $date } um { $time } schrieb { $who }:

size-bytes = { $n } Byte
size-kb = { $n } KB
size-mb = { $n } MB
size-gb = { $n } GB
size-tb = { $n } TB

js-no-answer = Der Server hat nicht geantwortet.
js-no-answer-safe = Der Server hat nicht geantwortet. Nichts ist verloren: Versuchen Sie es noch einmal.
js-signed-out = Sie sind abgemeldet. Nichts ist verloren: Melden Sie sich an, kommen Sie hierher zurück und versuchen Sie es noch einmal.
js-sign-in = Anmelden
js-try-again = Noch einmal versuchen
js-copied = Kopiert.
js-copy-refused = Der Browser erlaubt das Kopieren hier nicht. Markieren Sie den Text und kopieren Sie ihn selbst.
js-selected = { $n } ausgewählt
js-selected-all = Alle ausgewählt
js-suggestions = Vorschläge
js-people = Personen
js-adding = Wird angehängt …
js-adding-percent = Wird angehängt … { $percent } %
js-saving = Wird gespeichert …
js-saved-at = Gespeichert: { $time }
js-not-saved-signed-out = Nicht gespeichert: Sie sind abgemeldet. Melden Sie sich in einem anderen Tab an und machen Sie dann hier weiter.
js-not-saved-because = Nicht gespeichert: { $why }
js-not-saved-yet = Noch nicht gespeichert: Der Server hat nicht geantwortet.
js-files-not-attached = Der Server hat nicht geantwortet. Die Dateien sind nicht angehängt.
js-files-too-large = Nicht angehängt: Die Dateien sind zusammen zu groß. Eine Nachricht kann bis zu { $size } haben.
js-attached = Angehängt: { $names }.
js-attached-many = Angehängt: { $n } Dateien
js-sending = Wird gesendet …
js-not-sent = Nicht gesendet. Drücken Sie noch einmal auf „Senden“: Die Nachricht wird nur einmal gesendet.
js-draft-kept = Als Entwurf gespeichert.
js-draft-lost = Ihre letzten Änderungen sind nicht gespeichert.
js-draft-edit = Entwurf bearbeiten
js-remove = { $name } entfernen
js-close = Schließen
js-keys-lists = Listen
js-keys-messages = Nachrichten
js-keys-compose = Schreiben
js-keys-go = Gehe zu
js-key-step = nächste oder vorige
js-key-open = öffnen
js-key-back = zurück zur Liste
js-key-select = auswählen
js-key-select-all = alle oder keine auswählen
js-key-search = suchen
js-key-archive = archivieren
js-key-delete = löschen
js-key-spam = Spam
js-key-move = verschieben …
js-key-star = Stern
js-key-read = als gelesen markieren
js-key-unread = als ungelesen markieren
js-key-undo = rückgängig
js-key-compose = schreiben
js-key-reply = antworten
js-key-reply-all = allen antworten
js-key-forward = weiterleiten
js-key-send = senden
js-key-people = Adressbuch
js-key-help = diese Hilfe
