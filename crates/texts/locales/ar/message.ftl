message-back-to = العودة إلى «{ $list }»
message-newer = محادثة أحدث
message-older = محادثة أقدم
message-open-all = فتح الكل ({ $n })
message-print = طباعة
message-print-conversation = طباعة هذه المحادثة
message-earlier = { $n ->
    [zero] عرض الرسائل السابقة
    [one] عرض رسالة سابقة واحدة
    [two] عرض رسالتين سابقتين
    [few] عرض { $n } رسائل سابقة
    [many] عرض { $n } رسالة سابقة
   *[other] عرض { $n } رسالة سابقة
}
message-reply = رد
message-reply-to = رد على { $who }
message-reply-all = رد على الكل
message-forward = إعادة توجيه
message-forward-file = إعادة توجيه كمرفق
message-to-short = إلى { $who }
message-from = من
message-to = إلى
message-cc = نسخة
message-bcc = نسخة مخفية
message-sender = المرسل
message-date = التاريخ
message-size = الحجم
message-why = لماذا هذه الرسالة هنا؟
message-draft = مسودة
message-edit-draft = تعديل المسودة
message-more = إجراءات أخرى لهذه الرسالة
message-rule = إنشاء قاعدة من هذه الرسالة
message-source = عرض الأصل
message-download = تنزيل الرسالة
message-add-person = إضافة إلى دفتر العناوين
message-delete = حذف هذه الرسالة
message-open-of = فتح الرسالة من { $who }، { $date }
message-reasons = كل الأسباب
message-again = يمكنك إرسال الرسالة مرة أخرى، بالنص نفسه والملفات نفسها، إلى المستلمين الذين لم تصلهم.
message-compose-again = كتابتها مرة أخرى
message-blocked = الصور الخارجية محجوبة لحماية خصوصيتك.
message-show-images = عرض الصور
message-of = رسالة من { $who }
message-cut = هذه الرسالة طويلة. تُعرض بدايتها فقط.
message-download-whole = تنزيل الرسالة كاملة
message-attachments = المرفقات
message-download-file = تنزيل { $name }
message-download-button = تنزيل
message-unknown-sender = (مرسل غير معروف)
message-undisclosed = مستلمون غير معلنين
message-more-people = و{ $n } آخرون
why-total = المجموع. الرسائل التي تبلغ { $limit } أو أكثر تذهب إلى البريد العشوائي.
why-total-off = المجموع. مرشّح البريد العشوائي معطّل.
why-moved = نقلت أنت هذه الرسالة إلى البريد العشوائي.
why-was-moved = نُقلت هذه الرسالة إلى البريد العشوائي.
why-rescued = أخرجت أنت هذه الرسالة من البريد العشوائي.
why-nothing = لا علامة على بريد عشوائي.

proof-sender = مرسلها
proof-forged-own = لم يرسل { $author } هذه الرسالة: جاءت من الخارج بدون تسجيل دخول. لا تثق بها.
proof-list = أُرسلت عبر القائمة البريدية { $list }، وهي كثيرًا ما تغيّر الرسائل. لذلك تعذّر التحقق من أنها من { $domain }.
proof-failed = تعذّر التحقق من أن هذه الرسالة من { $domain }. قد تكون مزوّرة.
proof-unchecked = تعذّر التحقق من أن هذه الرسالة من { $domain }: لم يصل جواب الفحص في الوقت المناسب.
proof-other-signer = موقّعة من { $signers }، ومرسلة باسم { $domain }.
proof-unverified = تعذّر التحقق من أن هذه الرسالة من { $domain }.
proof-is-verified = { $domain }، تم التحقق
proof-is-not-verified = { $domain }، لم يتم التحقق
proof-signed-by = موقّعة من { $signers }
proof-sent-by = مرسلة من خادم { $domain }
proof-through-list = عبر القائمة البريدية { $list }
message-to-me = أنا
