# An open conversation.

message-back-to = Back to { $list }
message-newer = Newer conversation
message-older = Older conversation
message-open-all = Open all { $n }
message-print = Print
message-print-conversation = Print this conversation
message-earlier = { $n ->
    [one] Show { $n } earlier message
   *[other] Show { $n } earlier messages
}
message-reply = Reply
message-reply-to = Reply to { $who }
message-reply-all = Reply to all
message-forward = Forward
message-forward-file = Forward as attachment
message-to-short = to { $who }
message-from = From
message-to = To
message-cc = Cc
message-bcc = Bcc
message-sender = Sender
message-date = Date
message-size = Size
message-why = Why is this here?
message-draft = Draft
message-edit-draft = Edit draft
message-more = More actions for this message
message-rule = Make a rule from this
message-source = Show original
message-download = Download message
message-add-person = Add to contacts
message-delete = Delete this message
message-open-of = Open the message from { $who }, { $date }
message-reasons = All reasons
message-again = You can send the message again to the recipients it didn’t reach, with the same text and files.
message-compose-again = Compose again
message-blocked = Remote images are blocked to protect your privacy.
message-show-images = Show images
message-of = Message from { $who }
message-cut = This message is long. Only its beginning is shown.
message-download-whole = Download the whole message
message-attachments = Attachments
message-download-file = Download { $name }
message-download-button = Download
message-unknown-sender = (unknown sender)
message-undisclosed = undisclosed recipients
message-more-people = { $n } more
why-total = Total. Messages with { $limit } or more go to Spam.
why-total-off = Total. The spam filter is off.
why-moved = You moved this message to Spam.
why-was-moved = This message was moved to Spam.
why-rescued = You moved this message out of Spam.
why-nothing = There is no sign of spam.

proof-sender = its sender
proof-forged-own = This message was not sent by { $author }: it came from outside without a sign-in. Don’t trust it.
proof-list = Sent through the mailing list { $list }, which often changes messages. So it could not be verified to come from { $domain }.
proof-failed = This message could not be verified to come from { $domain }. It may be forged.
proof-unchecked = This message could not be verified to come from { $domain }: the check didn’t get an answer in time.
proof-other-signer = Signed by { $signers }, sent for { $domain }.
proof-unverified = This message could not be verified to come from { $domain }.
proof-is-verified = { $domain }, verified
proof-is-not-verified = { $domain }, not verified
proof-signed-by = signed by { $signers }
proof-sent-by = sent by a server of { $domain }
proof-through-list = through the mailing list { $list }
