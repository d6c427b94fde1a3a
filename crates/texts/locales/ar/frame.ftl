# إطار جميع الصفحات

skip-to-content = الانتقال إلى المحتوى
skip-to-messages = الانتقال إلى الرسائل
sending-stopped = لا يمكنك إرسال الرسائل حاليًا: { $why }. الرسائل المنتظرة معلّقة. إن لم تكن أنت من فعل ذلك، [فغيّر كلمة مرورك]، ثم اطلب من المسؤول السماح بالإرسال من جديد.
vacation-on = [الرد التلقائي] مفعّل.
vacation-end = إيقافه
search-mail = البحث في البريد
search-hint = ابحث عن كلمات، أو استخدم from: to: subject: in: has:attachment is:unread is:starred before: after:
shortcuts = اختصارات لوحة المفاتيح
your-account = حسابك
settings = الإعدادات
security = الأمان
rewind = الرجوع في الزمن
help = المساعدة
administration = الإدارة
sign-out = تسجيل الخروج
mailboxes = المجلدات
mailboxes-manage = إدارة المجلدات
searches = عمليات البحث
searches-manage = إدارة عمليات البحث
compose = إنشاء رسالة
address-book = دفتر العناوين
storage-used = المساحة المستخدمة
storage = تم استخدام { $used } من { $limit }
unread = غير مقروءة
drafts-after-number = { $n ->
    [zero] مسودة
    [one] مسودة
    [two] مسودتان
    [few] مسودات
    [many] مسودة
   *[other] مسودة
}
undo = تراجع
show = عرض
open = فتح
save = حفظ
cancel = إلغاء
delete = حذف

inbox = البريد الوارد
drafts = المسودات
sent = البريد المرسل
archive = الأرشيف
spam = البريد العشوائي
trash = المهملات

messages = { $n ->
    [zero] لا رسائل
    [one] رسالة واحدة
    [two] رسالتان
    [few] { $n } رسائل
    [many] { $n } رسالة
   *[other] { $n } رسالة
}
conversations = { $n ->
    [zero] لا محادثات
    [one] محادثة واحدة
    [two] محادثتان
    [few] { $n } محادثات
    [many] { $n } محادثة
   *[other] { $n } محادثة
}
draft-count = { $n ->
    [zero] لا مسودات
    [one] مسودة واحدة
    [two] مسودتان
    [few] { $n } مسودات
    [many] { $n } مسودة
   *[other] { $n } مسودة
}
unread-messages = { $n ->
    [zero] لا رسائل غير مقروءة
    [one] رسالة واحدة غير مقروءة
    [two] رسالتان غير مقروءتين
    [few] { $n } رسائل غير مقروءة
    [many] { $n } رسالة غير مقروءة
   *[other] { $n } رسالة غير مقروءة
}
days = { $n ->
    [zero] صفر يوم
    [one] يوم واحد
    [two] يومين
    [few] { $n } أيام
    [many] { $n } يومًا
   *[other] { $n } يوم
}
seconds = { $n ->
    [zero] لحظة
    [one] ثانية
    [two] ثانيتين
    [few] { $n } ثوانٍ
    [many] { $n } ثانية
   *[other] { $n } ثانية
}
minutes = { $n ->
    [zero] لحظة
    [one] دقيقة
    [two] دقيقتين
    [few] { $n } دقائق
    [many] { $n } دقيقة
   *[other] { $n } دقيقة
}

fault-sign-in = تسجيل الدخول
fault-sign-in-text = سجّل الدخول للمتابعة.
fault-not-found = غير موجود
fault-not-found-text = لا يوجد شيء في هذا العنوان. ربما نُقل أو حُذف.
fault-forbidden = غير مسموح
fault-bad = لم ينجح ذلك
fault-too-large = كبير جدًا
fault-too-many = طلبات كثيرة جدًا
fault-try-again = حاول مرة أخرى بعد { $wait }.
fault-unavailable = غير متاح مؤقتًا
fault-internal = حدث خطأ ما
fault-internal-text = الخطأ من جانبنا، وهو مسجّل في سجل الخادم. ربما يبقى ما كتبته إن رجعت إلى الصفحة السابقة.
fault-link = الانتقال إلى بريدك
fault-reference = مرجع للمسؤول: { $reference }

notice-undone = تم التراجع.
notice-unsent = تم التراجع عن الإرسال. عادت الرسالة مسودة.
notice-too-late = فات أوان التراجع: الرسالة في طريقها بالفعل.
notice-discarded = تم تجاهل المسودة.
notice-saved = تم الحفظ.
notice-settings = تم حفظ الإعدادات.
notice-created = تم الإنشاء.
notice-sent = تم الإرسال.
notice-mailbox-deleted = تم حذف المجلد. رسائله في المهملات.
notice-search-saved = تم حفظ البحث. تجده في الشريط الجانبي.
notice-search-deleted = تم حذف البحث المحفوظ.
notice-recent-gone = تم مسح عمليات بحثك الأخيرة.
notice-elsewhere = هذه المحادثة الآن في «{ $mailbox }».
notice-spam-reset = نسي مرشّح البريد العشوائي ما تعلّمه منك.
act-archived = تمت الأرشفة: { $what }.
act-spam = تم الإبلاغ كبريد عشوائي: { $what }.
act-deleted = تم الحذف نهائيًا: { $what }.
act-trash = تم النقل إلى المهملات: { $what }.
act-moved = تم النقل إلى «{ $mailbox }»: { $what }.
act-read = تم التعليم كمقروء: { $what }.
act-unread = تم التعليم كغير مقروء: { $what }.

yesterday = أمس
date-day = { $day } { $month } { $year }
date-short = { $day } { $month }
date-short-year = { $day } { $month } { $year }
date-full = { $weekday }، { $date }، { $time }
time-am = { $time } ص
time-pm = { $time } م
month = { $month ->
    [1] يناير
    [2] فبراير
    [3] مارس
    [4] أبريل
    [5] مايو
    [6] يونيو
    [7] يوليو
    [8] أغسطس
    [9] سبتمبر
    [10] أكتوبر
    [11] نوفمبر
   *[12] ديسمبر
}
month-short = { $month ->
    [1] يناير
    [2] فبراير
    [3] مارس
    [4] أبريل
    [5] مايو
    [6] يونيو
    [7] يوليو
    [8] أغسطس
    [9] سبتمبر
    [10] أكتوبر
    [11] نوفمبر
   *[12] ديسمبر
}
weekday = { $day ->
    [1] الاثنين
    [2] الثلاثاء
    [3] الأربعاء
    [4] الخميس
    [5] الجمعة
    [6] السبت
   *[7] الأحد
}
ago-now = الآن
ago-minutes = { $n ->
    [zero] الآن
    [one] قبل دقيقة
    [two] قبل دقيقتين
    [few] قبل { $n } دقائق
    [many] قبل { $n } دقيقة
   *[other] قبل { $n } دقيقة
}
ago-hours = { $n ->
    [zero] الآن
    [one] قبل ساعة
    [two] قبل ساعتين
    [few] قبل { $n } ساعات
    [many] قبل { $n } ساعة
   *[other] قبل { $n } ساعة
}
ago-yesterday = أمس
ago-days = { $n ->
    [zero] اليوم
    [one] قبل يوم
    [two] قبل يومين
    [few] قبل { $n } أيام
    [many] قبل { $n } يومًا
   *[other] قبل { $n } يوم
}
attribution = في { $date } الساعة { $time } كتب { $who }:

size-bytes = { $n } بايت
size-kb = { $n } ك.ب
size-mb = { $n } م.ب
size-gb = { $n } غ.ب
size-tb = { $n } ت.ب

js-no-answer = لم يستجب الخادم.
js-no-answer-safe = لم يستجب الخادم. لم يضِع شيء: حاول مرة أخرى.
js-signed-out = تم تسجيل خروجك. لم يضِع شيء: سجّل الدخول، ثم ارجع إلى هنا وحاول مرة أخرى.
js-sign-in = تسجيل الدخول
js-try-again = إعادة المحاولة
js-copied = تم النسخ.
js-copy-refused = لا يسمح المتصفح بالنسخ هنا. حدّد النص وانسخه بنفسك.
js-selected = المحدد: { $n }
js-selected-all = تم تحديد الكل
js-suggestions = اقتراحات
js-people = أشخاص
js-adding = جارٍ الإرفاق…
js-adding-percent = جارٍ الإرفاق… { $percent } %
js-saving = جارٍ الحفظ…
js-saved-at = تم الحفظ: { $time }
js-not-saved-signed-out = لم يُحفظ: تم تسجيل خروجك. سجّل الدخول في علامة تبويب أخرى، ثم تابع هنا.
js-not-saved-because = لم يُحفظ: { $why }
js-not-saved-yet = لم يُحفظ بعد: لم يستجب الخادم.
js-files-not-attached = لم يستجب الخادم. لم تُرفق الملفات.
js-files-too-large = لم تُضف: الملفات معًا كبيرة جدًا. أقصى حجم للرسالة { $size }.
js-attached = تم إرفاق { $names }.
js-attached-many = عدد الملفات المرفقة: { $n }
js-sending = جارٍ الإرسال…
js-not-sent = لم تُرسل. اضغط «إرسال» مرة أخرى: تُرسل الرسالة مرة واحدة فقط.
js-draft-kept = تم الحفظ كمسودة.
js-draft-lost = لم تُحفظ تعديلاتك الأخيرة.
js-draft-edit = تعديل المسودة
js-remove = إزالة { $name }
js-close = إغلاق
js-keys-lists = القوائم
js-keys-messages = الرسائل
js-keys-compose = الكتابة
js-keys-go = الانتقال إلى
js-key-step = التالي أو السابق
js-key-open = فتح
js-key-back = العودة إلى القائمة
js-key-select = تحديد
js-key-select-all = تحديد الكل أو لا شيء
js-key-search = بحث
js-key-archive = أرشفة
js-key-delete = حذف
js-key-spam = بريد عشوائي
js-key-move = نقل إلى…
js-key-star = نجمة
js-key-read = تعليم كمقروء
js-key-unread = تعليم كغير مقروء
js-key-undo = تراجع
js-key-compose = إنشاء رسالة
js-key-reply = رد
js-key-reply-all = رد على الكل
js-key-forward = إعادة توجيه
js-key-send = إرسال
js-key-people = دفتر العناوين
js-key-help = هذه المساعدة
