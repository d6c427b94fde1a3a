# Le cadre de toutes les pages : navigation, bandeaux, erreurs, dates, tailles.

skip-to-content = Aller au contenu
skip-to-messages = Aller aux messages
sending-stopped = Vous ne pouvez pas envoyer de messages pour le moment : { $why }. Les messages en attente sont retenus. Si ce n’était pas vous, [changez votre mot de passe], puis demandez à votre administrateur d’autoriser à nouveau l’envoi.
vacation-on = Votre [réponse automatique] est activée.
vacation-end = La désactiver
search-mail = Rechercher dans les messages
search-hint = Cherchez des mots, ou utilisez from: to: subject: in: has:attachment is:unread is:starred before: after:
shortcuts = Raccourcis clavier
your-account = Votre compte
settings = Paramètres
security = Sécurité
rewind = Retour en arrière
help = Aide
administration = Administration
sign-out = Se déconnecter
mailboxes = Dossiers
mailboxes-manage = Gérer les dossiers
searches = Recherches
searches-manage = Gérer les recherches
compose = Nouveau message
address-book = Carnet d’adresses
storage-used = Espace utilisé
storage = { $used } utilisés sur { $limit }
unread = non lus
drafts-after-number = { $n ->
    [one] brouillon
   *[other] brouillons
}
undo = Annuler
show = Afficher
open = Ouvrir
save = Enregistrer
cancel = Annuler
delete = Supprimer

inbox = Boîte de réception
drafts = Brouillons
sent = Envoyés
archive = Archives
spam = Spam
trash = Corbeille

messages = { $n ->
    [one] { $n } message
   *[other] { $n } messages
}
conversations = { $n ->
    [one] { $n } conversation
   *[other] { $n } conversations
}
draft-count = { $n ->
    [one] { $n } brouillon
   *[other] { $n } brouillons
}
unread-messages = { $n ->
    [one] { $n } message non lu
   *[other] { $n } messages non lus
}
days = { $n ->
    [one] { $n } jour
   *[other] { $n } jours
}
seconds = { $n ->
    [one] une seconde
   *[other] { $n } secondes
}
minutes = { $n ->
    [one] une minute
   *[other] { $n } minutes
}

fault-sign-in = Se connecter
fault-sign-in-text = Connectez-vous pour continuer.
fault-not-found = Introuvable
fault-not-found-text = Il n’y a rien à cette adresse. Le contenu a peut-être été déplacé ou supprimé.
fault-forbidden = Non autorisé
fault-bad = Cela n’a pas fonctionné
fault-too-large = Trop volumineux
fault-too-many = Trop de requêtes
fault-try-again = Réessayez dans { $wait }.
fault-unavailable = Temporairement indisponible
fault-internal = Une erreur s’est produite
fault-internal-text = L’erreur vient de nous ; elle est notée dans le journal du serveur. Ce que vous avez saisi est peut-être encore là si vous revenez en arrière.
fault-link = Aller à vos messages
fault-reference = Référence pour votre administrateur : { $reference }

notice-undone = Annulé.
notice-unsent = Envoi annulé. Le message est de nouveau un brouillon.
notice-too-late = Trop tard pour annuler : le message est déjà parti.
notice-discarded = Brouillon abandonné.
notice-saved = Enregistré.
notice-settings = Paramètres enregistrés.
notice-created = Créé.
notice-sent = Envoyé.
notice-mailbox-deleted = Dossier supprimé. Ses messages sont dans la corbeille.
notice-search-saved = Recherche enregistrée. Elle figure dans la barre latérale.
notice-search-deleted = Recherche enregistrée supprimée.
notice-recent-gone = Vos recherches récentes sont oubliées.
notice-elsewhere = Cette conversation se trouve maintenant dans « { $mailbox } ».
notice-spam-reset = Le filtre antispam a oublié ce qu’il avait appris de vous.
act-archived = Archivage : { $what }.
act-spam = Signalement comme spam : { $what }.
act-deleted = Suppression définitive : { $what }.
act-trash = Déplacement vers la corbeille : { $what }.
act-moved = Déplacement vers « { $mailbox } » : { $what }.
act-read = Marquage comme lu : { $what }.
act-unread = Marquage comme non lu : { $what }.

yesterday = Hier
date-day = { $day } { $month } { $year }
date-short = { $day } { $month }
date-short-year = { $day } { $month } { $year }
date-full = { $weekday } { $date } à { $time }
time-am = { $time } AM
time-pm = { $time } PM
month = { $month ->
    [1] janvier
    [2] février
    [3] mars
    [4] avril
    [5] mai
    [6] juin
    [7] juillet
    [8] août
    [9] septembre
    [10] octobre
    [11] novembre
   *[12] décembre
}
month-short = { $month ->
    [1] janv.
    [2] févr.
    [3] mars
    [4] avr.
    [5] mai
    [6] juin
    [7] juil.
    [8] août
    [9] sept.
    [10] oct.
    [11] nov.
   *[12] déc.
}
weekday = { $day ->
    [1] lundi
    [2] mardi
    [3] mercredi
    [4] jeudi
    [5] vendredi
    [6] samedi
   *[7] dimanche
}
ago-now = à l’instant
ago-minutes = { $n ->
    [one] il y a { $n } minute
   *[other] il y a { $n } minutes
}
ago-hours = { $n ->
    [one] il y a une heure
   *[other] il y a { $n } heures
}
ago-yesterday = hier
ago-days = { $n ->
    [one] il y a { $n } jour
   *[other] il y a { $n } jours
}
attribution = Le { $date } à { $time }, { $who } a écrit :

size-bytes = { $n } octets
size-kb = { $n } Ko
size-mb = { $n } Mo
size-gb = { $n } Go
size-tb = { $n } To

js-no-answer = Le serveur n’a pas répondu.
js-no-answer-safe = Le serveur n’a pas répondu. Rien n’est perdu : réessayez.
js-signed-out = Vous êtes déconnecté. Rien n’est perdu : connectez-vous, puis revenez ici et réessayez.
js-sign-in = Se connecter
js-try-again = Réessayer
js-copied = Copié.
js-copy-refused = Le navigateur ne permet pas la copie ici. Sélectionnez le texte et copiez-le vous-même.
js-selected = Sélection : { $n }
js-selected-all = Tout est sélectionné
js-suggestions = Suggestions
js-people = Personnes
js-adding = Ajout…
js-adding-percent = Ajout… { $percent } %
js-saving = Enregistrement…
js-saved-at = Enregistré : { $time }
js-not-saved-signed-out = Non enregistré : vous êtes déconnecté. Connectez-vous dans un autre onglet, puis continuez ici.
js-not-saved-because = Non enregistré : { $why }
js-not-saved-yet = Pas encore enregistré : le serveur n’a pas répondu.
js-files-not-attached = Le serveur n’a pas répondu. Les fichiers ne sont pas joints.
js-files-too-large = Non ajouté : les fichiers sont trop volumineux ensemble. Un message peut contenir jusqu’à { $size }.
js-attached = Pièces jointes ajoutées : { $names }.
js-attached-many = Pièces jointes ajoutées : { $n } fichiers
js-sending = Envoi…
js-not-sent = Non envoyé. Appuyez de nouveau sur « Envoyer » : le message ne part qu’une fois.
js-draft-kept = Enregistré comme brouillon.
js-draft-lost = Vos dernières modifications ne sont pas enregistrées.
js-draft-edit = Modifier le brouillon
js-remove = Retirer { $name }
js-close = Fermer
js-keys-lists = Listes
js-keys-messages = Messages
js-keys-compose = Rédaction
js-keys-go = Aller à
js-key-step = suivant ou précédent
js-key-open = ouvrir
js-key-back = retour à la liste
js-key-select = sélectionner
js-key-select-all = tout sélectionner ou rien
js-key-search = rechercher
js-key-archive = archiver
js-key-delete = supprimer
js-key-spam = spam
js-key-move = déplacer…
js-key-star = étoile
js-key-read = marquer comme lu
js-key-unread = marquer comme non lu
js-key-undo = annuler
js-key-compose = nouveau message
js-key-reply = répondre
js-key-reply-all = répondre à tous
js-key-forward = transférer
js-key-send = envoyer
js-key-people = carnet d’adresses
js-key-help = cette aide
