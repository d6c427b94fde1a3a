list-select-page = تحديد الكل في هذه الصفحة
list-empty-ask = هل تريد حذف كل ما في «{ $mailbox }» نهائيًا؟
list-empty = إفراغ
list-mark-all-read = { $n ->
    [zero] لا رسائل لتعليمها كمقروءة
    [one] تعليم رسالة واحدة كمقروءة
    [two] تعليم رسالتين كمقروءتين
    [few] تعليم { $n } رسائل كمقروءة
    [many] تعليم { $n } رسالة كمقروءة
   *[other] تعليم { $n } رسالة كمقروءة
}
list-newest = أحدث الرسائل
list-actions = إجراءات المحادثات المحددة
list-clear = إلغاء التحديد
not-spam = ليس بريدًا عشوائيًا
move-to-inbox = نقل إلى البريد الوارد
report-spam = إبلاغ كبريد عشوائي
mark-read = تعليم كمقروء
mark-unread = تعليم كغير مقروء
move-to = نقل إلى مجلد آخر
move-button = نقل
star = نجمة
star-conversation = تمييز هذه المحادثة بنجمة
star-of = نجمة: { $subject }
list-select-all = تحديد الكل: { $what }
list-select-of = تحديد: { $subject }
list-in-mailbox = { $what } في «{ $mailbox }»
list-narrow = تضييق البحث
list-change = تغيير
list-unread = غير مقروءة:
list-found-of = { $found } من { $total }
list-messages-mark = رسائل
list-attachment = تحتوي على مرفق
list-pages = الصفحات
list-newer = الأحدث
list-older = الأقدم
list-conversation = محادثة
list-choose = اختر محادثة. (الاختصار: { $keys })
list-unread-count = غير المقروءة: { $n }
list-no-unread = لا رسائل غير مقروءة
list-me = أنا
list-nobody = (لا أحد)
list-to = إلى: { $who }
no-subject = (بلا موضوع)
start = البداية
start-accounts = إنشاء حسابات لآخرين
start-dns = إعداد سجلات DNS
start-devices = ربط هاتفك أو تطبيق البريد
start-contacts = استيراد جهات الاتصال
start-two-step = تفعيل تسجيل الدخول بخطوتين
aging-days = تُحذف الرسائل بعد { $days } من وصولها إلى هنا.
aging-never = تبقى الرسائل هنا حتى تحذفها.

empty-inbox = لا جديد لديك
empty-inbox-text = تظهر الرسائل الجديدة هنا تلقائيًا.
empty-drafts = لا مسودات
empty-drafts-text = تُحفظ هنا الرسائل التي لم ترسلها بعد.
empty-sent = لم يُرسل شيء بعد
empty-sent-text = تُحفظ هنا نسخ الرسائل التي ترسلها.
empty-archive = لا شيء في الأرشيف
empty-archive-text = أرشِف الرسائل لإبعادها عن البريد الوارد.
empty-spam = لا بريد عشوائي
empty-spam-text = تصل إلى هنا الرسائل التي تبلّغ عنها كبريد عشوائي.
empty-trash = المهملات فارغة
empty-trash-text = تبقى الرسائل المحذوفة هنا حتى تُفرغ المهملات.
empty-mailbox = لا شيء هنا بعد
empty-mailbox-text = انقل المحادثات إلى هنا لجمعها معًا.

search = البحث
search-what = عمّ تبحث؟
search-nothing = لم يُعثر على شيء
search-newest = الأحدث: { $what }
search-range = { $first }–{ $last } من { $total }
search-no-mailbox = لا يوجد مجلد باسم «{ $name }». يجري البحث في كل البريد بدلًا منه.
search-unread = غير المقروءة
search-starred = المميزة بنجمة
search-attachment = ذات المرفقات
search-everywhere = مع المهملات والبريد العشوائي
search-save = حفظ هذا البحث
search-help = يجب أن تحتوي النتائج على كل كلمة. ضيّق البحث باستخدام:
search-help-from = المرسل
search-help-to = المستلم؛ وكذلك cc: وbcc:
search-help-subject = الموضوع
search-help-phrase = هذه العبارة بالضبط
search-help-or = إحدى الكلمتين؛ { $example } يُبقي الكلمات معًا
search-help-not = بدون هذه الكلمة
search-help-in = مجلد واحد؛ { $example } يشمل المهملات والبريد العشوائي
search-help-has = مع ملف؛ وكذلك has:image وhas:pdf وhas:document
search-help-filename = اسم ملف
search-help-is = وكذلك is:starred وis:answered
search-help-after = وكذلك before: وon: وyesterday و7d و"last week"
search-help-larger = وكذلك smaller:

unsnooze = إلغاء التأجيل
unsnooze-to-inbox = إلغاء التأجيل: نقل إلى البريد الوارد
empty-snoozed = لا شيء مؤجل
empty-snoozed-text = تعود الرسائل المؤجلة إلى البريد الوارد في وقتها.
act-snoozed = تم التأجيل حتى { $until }: { $what }.
