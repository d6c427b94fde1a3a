//! What a restore is asked for, and what all of them do to the queue.

use continuity::archive::{
    codec::Identities,
    restore::{At, Wish},
    target::Target,
};
use delivery::{Delivery, QueueFilter};

use crate::{
    cli::RestoreArgs,
    config::{Archive, Config},
    moment::parse_at,
    services::store_options,
    told::moment,
};

/// Messages that are held in one step.
const QUEUE_PAGE: usize = 500;

/// Up to where; nothing that was typed means all there is.
pub fn at(typed: Option<&str>) -> anyhow::Result<At> {
    Ok(typed.map(parse_at).transpose()?.unwrap_or_default())
}

/// Up to where, for people.
pub fn as_it_was(at: At) -> String {
    match at {
        At::Last => "the latest state".to_owned(),
        At::Moment(at_ms) => format!("the state at {}", moment(at_ms)),
        At::Commit(seq) => format!("the state after commit {seq}"),
    }
}

/// The source and the target of a restore.
pub async fn wish(config: &Config, args: &RestoreArgs) -> anyhow::Result<Wish> {
    // A configured archive also has the credentials and the identity.
    let from = args.from.as_deref().unwrap_or_default();
    let known = config.archive.iter().find(|place| place.is_named(from));
    let place = known.cloned().unwrap_or_else(|| Archive::at(from));
    wish_of(config, args, &place).await
}

/// The same, from a place that is known.
pub async fn wish_of(config: &Config, args: &RestoreArgs, place: &Archive) -> anyhow::Result<Wish> {
    let options = place.target_options()?;
    place.check_readable()?;
    let file = args.identity.as_ref().or(place.identity_file.as_ref());
    let identities = match (&args.of_account.identity_text, file) {
        (Some(text), Some(file)) => Identities::from_text(&file.display().to_string(), text.as_bytes())?,
        (_, Some(file)) => Identities::read(file)?,
        (_, None) => anyhow::bail!(
            "the archive {} is encrypted: give the identity of one of its recipients with --identity FILE",
            place.name()
        ),
    };
    for key in &args.signed_by {
        let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        anyhow::ensure!(
            is_key,
            "--signed-by {key}: a key has 64 hexadecimal digits; `holdfast archive status` shows it"
        );
    }
    let at = at(args.at.as_deref())?;
    let target = tokio::task::spawn_blocking(move || Target::open(&options)).await??;
    Ok(Wish {
        target,
        identities,
        dir: config.data_dir.clone(),
        options: store_options(config),
        at,
        line: args.line.clone(),
        without_damaged: args.without_damaged,
        signed_by: args.signed_by.clone(),
    })
}

/// Puts the queue on hold: queued messages may have been delivered since that time.
pub async fn hold_queue(delivery: &Delivery) -> anyhow::Result<u64> {
    let mut held = 0;
    let mut after = None;
    loop {
        let page = delivery.queue_list(&QueueFilter::default(), after, QUEUE_PAGE)?;
        for message in page.messages {
            delivery.queue_hold(message.id).await?;
            held += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}
