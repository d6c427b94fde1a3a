#!/usr/bin/env bash
# Postfix and Dovecot on loopback ports of their own, from Debian's packages, for comparisons in one run.
#
#   peer.sh start DIR    SMTP 127.0.0.1:3025, IMAP 127.0.0.1:3143, POP3 127.0.0.1:3110; accounts bench0…bench49@bench.example
#   peer.sh stop DIR
#
# With PEER_TLS=FOLDER (certificate.pem and key.pem) also STARTTLS in SMTP, and IMAP over TLS at 127.0.0.1:3993. With
# PEER_FORMAT=sdbox or mdbox Dovecot keeps mail in that form instead of Maildir.
#
# Both sync what they acknowledge: Postfix always does, Dovecot by its default for deliveries (mail_fsync = optimized).
# Needs root (Postfix insists) and: apt-get install postfix dovecot-imapd dovecot-lmtpd dovecot-pop3d
set -euo pipefail
action=$1 dir=$(realpath -m "$2")

start() {
    for program in postfix dovecot; do
        command -v "$program" >/dev/null || { echo "$program is not installed: apt-get install postfix dovecot-imapd dovecot-lmtpd dovecot-pop3d" >&2; exit 1; }
    done
    mkdir -p "$dir"/{mail,dovecot,postfix/conf,postfix/queue,postfix/data}
    chmod 755 "$dir" "$dir"/postfix
    id benchmail >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin benchmail
    chown benchmail "$dir/mail"
    chown postfix "$dir/postfix/data"

    local tls="ssl = no"
    if [ -n "${PEER_TLS:-}" ]; then
        tls="ssl = yes
ssl_cert = <$PEER_TLS/certificate.pem
ssl_key = <$PEER_TLS/key.pem"
    fi
    cat > "$dir/dovecot.conf" <<CONF
protocols = imap lmtp pop3
listen = 127.0.0.1
base_dir = $dir/dovecot
state_dir = $dir/dovecot
log_path = $dir/dovecot.log
$tls
disable_plaintext_auth = no
mail_location = ${PEER_FORMAT:-maildir}:$dir/mail/%u
mail_uid = benchmail
mail_gid = benchmail
first_valid_uid = 1
mail_fsync = optimized
default_process_limit = 2000
default_client_limit = 20000
passdb {
  driver = static
  args = password=bench-password
}
userdb {
  driver = static
  args = uid=benchmail gid=benchmail home=$dir/mail/%u allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    port = 3143
  }
  inet_listener imaps {
    port = 3993
  }
  service_count = 0
}
service imap {
  process_limit = 2000
}
service pop3-login {
  inet_listener pop3 {
    port = 3110
  }
}
service lmtp {
  process_min_avail = 8
  unix_listener $dir/postfix/queue/dovecot-lmtp {
    mode = 0666
  }
}
protocol imap {
  mail_max_userip_connections = 5000
}
namespace inbox {
  inbox = yes
}
CONF
    cat > "$dir/postfix/conf/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $dir/postfix/queue
data_directory = $dir/postfix/data
maillog_file = /dev/stdout
maillog_file_prefixes = /dev, $dir
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.bench.example
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = bench.example
virtual_mailbox_maps = regexp:$dir/postfix/conf/users
virtual_transport = lmtp:unix:dovecot-lmtp
default_process_limit = 100
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
message_size_limit = 52428800
lmtp_destination_concurrency_limit = 20
lmtp_destination_recipient_limit = 1
CONF
    if [ -n "${PEER_TLS:-}" ]; then
        cat >> "$dir/postfix/conf/main.cf" <<CONF
smtpd_tls_security_level = may
smtpd_tls_cert_file = $PEER_TLS/certificate.pem
smtpd_tls_key_file = $PEER_TLS/key.pem
CONF
    fi
    sed -i "s|^maillog_file = .*|maillog_file = $dir/postfix.log|" "$dir/postfix/conf/main.cf"
    echo '/^bench[0-9]+@bench\.example$/ ok' > "$dir/postfix/conf/users"
    sed -e 's/^smtp      inet.*/127.0.0.1:3025 inet n - n - - smtpd/' -e 's/ y       -       / n       -       /' /usr/share/postfix/master.cf.dist > "$dir/postfix/conf/master.cf"
    dovecot -c "$dir/dovecot.conf" </dev/null >/dev/null 2>&1
    postfix -c "$dir/postfix/conf" start </dev/null >/dev/null 2>&1
}

stop() {
    postfix -c "$dir/postfix/conf" stop || true
    doveadm -c "$dir/dovecot.conf" stop || true
}

"$action"
