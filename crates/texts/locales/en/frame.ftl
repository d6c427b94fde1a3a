# The frame of all pages: navigation, banners, notices, errors, dates, sizes.
# [Words in brackets] are a link.

skip-to-content = Skip to content
skip-to-messages = Skip to messages
sending-stopped = You can’t send mail at the moment because { $why }. Messages that were waiting are on hold. If you didn’t do this, [change your password], then ask your administrator to allow sending again.
vacation-on = Your [vacation reply] is on.
vacation-end = Turn it off
search-mail = Search mail
search-hint = Search for words, or use from: to: subject: in: has:attachment is:unread is:starred before: after:
shortcuts = Keyboard shortcuts
your-account = Your account
settings = Settings
security = Security
rewind = Rewind
help = Help
administration = Administration
sign-out = Sign out
mailboxes = Mailboxes
mailboxes-manage = Manage mailboxes
searches = Searches
searches-manage = Manage searches
compose = Compose
address-book = Address book
storage-used = Storage used
storage = { $used } of { $limit } used
unread = unread
drafts-after-number = { $n ->
    [one] draft
   *[other] drafts
}
undo = Undo
show = Show
open = Open
save = Save
cancel = Cancel
delete = Delete

inbox = Inbox
drafts = Drafts
sent = Sent
archive = Archive
spam = Spam
trash = Trash

messages = { $n ->
    [one] { $n } message
   *[other] { $n } messages
}
conversations = { $n ->
    [one] { $n } conversation
   *[other] { $n } conversations
}
draft-count = { $n ->
    [one] { $n } draft
   *[other] { $n } drafts
}
unread-messages = { $n ->
    [one] { $n } unread message
   *[other] { $n } unread messages
}
days = { $n ->
    [one] { $n } day
   *[other] { $n } days
}
seconds = { $n ->
    [one] a second
   *[other] { $n } seconds
}
minutes = { $n ->
    [one] a minute
   *[other] { $n } minutes
}

## Errors

fault-sign-in = Sign in
fault-sign-in-text = Sign in to continue.
fault-not-found = Not found
fault-not-found-text = There is nothing at this address. It may have been moved or deleted.
fault-forbidden = Not allowed
fault-bad = That didn’t work
fault-too-large = Too large
fault-too-many = Too many requests
fault-try-again = Try again in { $wait }.
fault-unavailable = Temporarily unavailable
fault-internal = Something went wrong
fault-internal-text = This is our mistake, and it is recorded in the server’s log. What you typed may still be there if you go back.
fault-link = Go to your mail
fault-reference = Reference for your administrator: { $reference }

## Notices

notice-undone = Undone.
notice-unsent = Sending undone. The message is a draft again.
notice-too-late = Too late to undo: the message is already on its way.
notice-discarded = Draft discarded.
notice-saved = Saved.
notice-settings = Settings saved.
notice-created = Created.
notice-sent = Sent.
notice-mailbox-deleted = Mailbox deleted. Its messages are in Trash.
notice-search-saved = Search saved. It stands in the side bar.
notice-search-deleted = Saved search deleted.
notice-recent-gone = Your recent searches are forgotten.
notice-elsewhere = This conversation is now in { $mailbox }.
notice-spam-reset = The spam filter has forgotten what it learned from you.
act-archived = { $what } archived.
act-spam = { $what } reported as spam.
act-deleted = { $what } deleted permanently.
act-trash = { $what } moved to Trash.
act-moved = { $what } moved to { $mailbox }.
act-read = { $what } marked as read.
act-unread = { $what } marked as unread.

## Dates and times

yesterday = Yesterday
date-day = { $day } { $month } { $year }
date-short = { $day } { $month }
date-short-year = { $day } { $month } { $year }
date-full = { $weekday } { $date }, { $time }
time-am = { $time } AM
time-pm = { $time } PM
month = { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
}
month-short = { $month ->
    [1] Jan
    [2] Feb
    [3] Mar
    [4] Apr
    [5] May
    [6] Jun
    [7] Jul
    [8] Aug
    [9] Sep
    [10] Oct
    [11] Nov
   *[12] Dec
}
weekday = { $day ->
    [1] Monday
    [2] Tuesday
    [3] Wednesday
    [4] Thursday
    [5] Friday
    [6] Saturday
   *[7] Sunday
}
ago-now = just now
ago-minutes = { $n ->
    [one] { $n } minute ago
   *[other] { $n } minutes ago
}
ago-hours = { $n ->
    [one] an hour ago
   *[other] { $n } hours ago
}
ago-yesterday = yesterday
ago-days = { $n ->
    [one] { $n } day ago
   *[other] { $n } days ago
}
attribution = On { $date } at { $time }, { $who } wrote:

## Sizes

size-bytes = { $n } bytes
size-kb = { $n } KB
size-mb = { $n } MB
size-gb = { $n } GB
size-tb = { $n } TB

## Said by scripts

js-no-answer = The server didn’t answer.
js-no-answer-safe = The server didn’t answer. Nothing is lost: try again.
js-signed-out = You are signed out. Nothing is lost: sign in, then come back here and try again.
js-sign-in = Sign in
js-try-again = Try again
js-copied = Copied.
js-copy-refused = The browser doesn’t allow copying here. Select the text and copy it yourself.
js-selected = { $n } selected
js-selected-all = All selected
js-suggestions = Suggestions
js-people = People
js-adding = Adding…
js-adding-percent = Adding… { $percent } %
js-saving = Saving…
js-saved-at = Saved { $time }
js-not-saved-signed-out = Not saved: you are signed out. Sign in in another tab, then continue here.
js-not-saved-because = Not saved: { $why }
js-not-saved-yet = Not saved yet: the server didn’t answer.
js-files-not-attached = The server didn’t answer. The files are not attached.
js-files-too-large = Not added: the files are too large together. A message can have up to { $size }.
js-attached = Attached { $names }.
js-attached-many = Attached: { $n } files
js-sending = Sending…
js-not-sent = Not sent. Press Send again: the message is sent only once.
js-draft-kept = Saved as draft.
js-draft-lost = Your last changes are not saved.
js-draft-edit = Edit draft
js-remove = Remove { $name }
js-close = Close
js-keys-lists = Lists
js-keys-messages = Messages
js-keys-compose = Compose
js-keys-go = Go to
js-key-step = next or previous
js-key-open = open
js-key-back = back to the list
js-key-select = select
js-key-select-all = select all or none
js-key-search = search
js-key-archive = archive
js-key-delete = delete
js-key-spam = spam
js-key-move = move to…
js-key-star = star
js-key-read = mark as read
js-key-unread = mark as unread
js-key-undo = undo
js-key-compose = compose
js-key-reply = reply
js-key-reply-all = reply to all
js-key-forward = forward
js-key-send = send
js-key-people = address book
js-key-help = this help
