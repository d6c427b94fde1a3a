# El marco de todas las páginas: navegación, avisos, errores, fechas, tamaños.

skip-to-content = Ir al contenido
skip-to-messages = Ir a los mensajes
sending-stopped = De momento no puede enviar mensajes: { $why }. Los mensajes en espera quedan retenidos. Si no ha sido usted, [cambie su contraseña] y pida después a su administrador que vuelva a permitir el envío.
vacation-on = Su [respuesta automática] está activada.
vacation-end = Desactivarla
search-mail = Buscar en el correo
search-hint = Busque palabras, o use from: to: subject: in: has:attachment is:unread is:starred before: after:
shortcuts = Atajos de teclado
your-account = Su cuenta
settings = Configuración
security = Seguridad
rewind = Volver atrás
help = Ayuda
administration = Administración
sign-out = Cerrar sesión
mailboxes = Carpetas
mailboxes-manage = Gestionar carpetas
searches = Búsquedas
searches-manage = Gestionar búsquedas
compose = Redactar
address-book = Libreta de direcciones
storage-used = Espacio usado
storage = { $used } de { $limit } usados
unread = sin leer
drafts-after-number = { $n ->
    [one] borrador
   *[other] borradores
}
undo = Deshacer
show = Mostrar
open = Abrir
save = Guardar
cancel = Cancelar
delete = Eliminar

inbox = Bandeja de entrada
drafts = Borradores
sent = Enviados
archive = Archivo
spam = Spam
trash = Papelera

messages = { $n ->
    [one] { $n } mensaje
   *[other] { $n } mensajes
}
conversations = { $n ->
    [one] { $n } conversación
   *[other] { $n } conversaciones
}
draft-count = { $n ->
    [one] { $n } borrador
   *[other] { $n } borradores
}
unread-messages = { $n ->
    [one] { $n } mensaje sin leer
   *[other] { $n } mensajes sin leer
}
days = { $n ->
    [one] { $n } día
   *[other] { $n } días
}
seconds = { $n ->
    [one] un segundo
   *[other] { $n } segundos
}
minutes = { $n ->
    [one] un minuto
   *[other] { $n } minutos
}

fault-sign-in = Iniciar sesión
fault-sign-in-text = Inicie sesión para continuar.
fault-not-found = No encontrado
fault-not-found-text = No hay nada en esta dirección. Puede que se haya movido o eliminado.
fault-forbidden = No permitido
fault-bad = Eso no ha funcionado
fault-too-large = Demasiado grande
fault-too-many = Demasiadas peticiones
fault-try-again = Inténtelo de nuevo dentro de { $wait }.
fault-unavailable = No disponible temporalmente
fault-internal = Algo ha ido mal
fault-internal-text = El error es nuestro y queda anotado en el registro del servidor. Lo que ha escrito quizá siga ahí si vuelve atrás.
fault-link = Ir a su correo
fault-reference = Referencia para su administrador: { $reference }

notice-undone = Deshecho.
notice-unsent = Envío deshecho. El mensaje vuelve a ser un borrador.
notice-too-late = Es tarde para deshacer: el mensaje ya está en camino.
notice-discarded = Borrador descartado.
notice-saved = Guardado.
notice-settings = Configuración guardada.
notice-created = Creado.
notice-sent = Enviado.
notice-mailbox-deleted = Carpeta eliminada. Sus mensajes están en la papelera.
notice-search-saved = Búsqueda guardada. Está en la barra lateral.
notice-search-deleted = Búsqueda guardada eliminada.
notice-recent-gone = Sus búsquedas recientes se han olvidado.
notice-elsewhere = Esta conversación está ahora en «{ $mailbox }».
notice-spam-reset = El filtro de spam ha olvidado lo que aprendió de usted.
act-archived = Archivado: { $what }.
act-spam = Marcado como spam: { $what }.
act-deleted = Eliminado definitivamente: { $what }.
act-trash = Movido a la papelera: { $what }.
act-moved = Movido a «{ $mailbox }»: { $what }.
act-read = Marcado como leído: { $what }.
act-unread = Marcado como no leído: { $what }.

yesterday = Ayer
date-day = { $day } de { $month } de { $year }
date-short = { $day } { $month }
date-short-year = { $day } { $month } { $year }
date-full = { $weekday }, { $date }, { $time }
time-am = { $time } a. m.
time-pm = { $time } p. m.
month = { $month ->
    [1] enero
    [2] febrero
    [3] marzo
    [4] abril
    [5] mayo
    [6] junio
    [7] julio
    [8] agosto
    [9] septiembre
    [10] octubre
    [11] noviembre
   *[12] diciembre
}
month-short = { $month ->
    [1] ene
    [2] feb
    [3] mar
    [4] abr
    [5] may
    [6] jun
    [7] jul
    [8] ago
    [9] sept
    [10] oct
    [11] nov
   *[12] dic
}
weekday = { $day ->
    [1] lunes
    [2] martes
    [3] miércoles
    [4] jueves
    [5] viernes
    [6] sábado
   *[7] domingo
}
ago-now = ahora mismo
ago-minutes = { $n ->
    [one] hace { $n } minuto
   *[other] hace { $n } minutos
}
ago-hours = { $n ->
    [one] hace una hora
   *[other] hace { $n } horas
}
ago-yesterday = ayer
ago-days = { $n ->
    [one] hace { $n } día
   *[other] hace { $n } días
}
attribution = El { $date } a las { $time }, { $who } escribió:

size-bytes = { $n } bytes
size-kb = { $n } kB
size-mb = { $n } MB
size-gb = { $n } GB
size-tb = { $n } TB

js-no-answer = El servidor no ha respondido.
js-no-answer-safe = El servidor no ha respondido. No se ha perdido nada: inténtelo de nuevo.
js-signed-out = Su sesión está cerrada. No se ha perdido nada: inicie sesión, vuelva aquí e inténtelo de nuevo.
js-sign-in = Iniciar sesión
js-try-again = Intentar de nuevo
js-copied = Copiado.
js-copy-refused = El navegador no permite copiar aquí. Seleccione el texto y cópielo usted mismo.
js-selected = Seleccionados: { $n }
js-selected-all = Todo seleccionado
js-suggestions = Sugerencias
js-people = Personas
js-adding = Añadiendo…
js-adding-percent = Añadiendo… { $percent } %
js-saving = Guardando…
js-saved-at = Guardado: { $time }
js-not-saved-signed-out = No guardado: su sesión está cerrada. Inicie sesión en otra pestaña y continúe después aquí.
js-not-saved-because = No guardado: { $why }
js-not-saved-yet = Aún no guardado: el servidor no ha respondido.
js-files-not-attached = El servidor no ha respondido. Los archivos no se han adjuntado.
js-files-too-large = No añadido: los archivos juntos son demasiado grandes. Un mensaje puede tener hasta { $size }.
js-attached = Adjuntado: { $names }.
js-attached-many = Adjuntado: { $n } archivos
js-sending = Enviando…
js-not-sent = No enviado. Pulse «Enviar» otra vez: el mensaje se envía una sola vez.
js-draft-kept = Guardado como borrador.
js-draft-lost = Sus últimos cambios no se han guardado.
js-draft-edit = Editar borrador
js-remove = Quitar { $name }
js-close = Cerrar
js-keys-lists = Listas
js-keys-messages = Mensajes
js-keys-compose = Redacción
js-keys-go = Ir a
js-key-step = siguiente o anterior
js-key-open = abrir
js-key-back = volver a la lista
js-key-select = seleccionar
js-key-select-all = seleccionar todo o nada
js-key-search = buscar
js-key-archive = archivar
js-key-delete = eliminar
js-key-spam = spam
js-key-move = mover a…
js-key-star = destacar
js-key-read = marcar como leído
js-key-unread = marcar como no leído
js-key-undo = deshacer
js-key-compose = redactar
js-key-reply = responder
js-key-reply-all = responder a todos
js-key-forward = reenviar
js-key-send = enviar
js-key-people = libreta de direcciones
js-key-help = esta ayuda
