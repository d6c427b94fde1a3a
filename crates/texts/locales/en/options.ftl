# The pages of the settings.

tab-general = General
tab-display = Display
tab-addresses = Addresses
tab-aliases = Aliases
tab-rules = Rules
tab-vacation = Vacation
tab-spam = Spam
tab-forwarding = Forwarding
tab-security = Security
tab-apps = App passwords
tab-sessions = Sign-ins
confirm-password = Confirm your password
confirm-current = Current password
confirm-hint = You won’t be asked again for ten minutes.

general-name = Your name
general-name-hint = The name people see on your messages.
general-signature = Signature
general-signature-hint = Added to the end of new messages.
general-hold = Undo send
general-hold-off = Off
general-pictures = Always show remote images
general-pictures-hint = Senders can see when and where you open their mail.
text-too-long = This text is too long. It can have { $size }.

display-language = Language
display-language-browser = As in the browser ({ $language })
display-language-hint = Administration, help, rules, contacts and some other pages are in English for now.
display-density = Density
display-comfortable = Comfortable
display-normal = Normal
display-compact = Compact
display-theme = Theme
display-system = Match system
display-light = Light
display-dark = Dark
display-zone = Time zone
display-zone-browser = As in the browser ({ $zone })
display-zone-unset = As in the browser
display-zone-differs = Your browser’s time zone is { $zone }.
display-zone-hint = Dates and times are shown in this zone, and searches such as before:today mean it.
display-zone-unknown = There is no time zone “{ $zone }”. Choose one such as Europe/Athens.
display-dates = Dates
display-times = Times
display-weekday = First day of the week
display-weekday-usual = As usual ({ $day })
