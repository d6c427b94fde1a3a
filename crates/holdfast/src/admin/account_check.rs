//! `holdfast account check`

use directory::Account;
use selfcheck::{Arrived, Finding, State, worst};

use crate::{failure::Code, output::Output, services::Services};

/// Looks through an account; mends what is safe to mend, and sends a test message, if asked to.
pub async fn run(
    services: &Services,
    account: &Account,
    (mend, message): (bool, bool),
    output: &Output,
) -> anyhow::Result<()> {
    let checks = services.selfcheck();
    let id = account.id;
    if mend {
        for finding in checks.look(id)?.into_iter().filter(|one| one.code == "mailboxes" && one.mend.is_some()) {
            if let Some(mended) = checks.mend(id, finding.code, &finding.about).await? {
                let what = format!("made the mailboxes {}", mended.about);
                services.directory.audit(Some(id), super::who::WHO, &what, "").await?;
                if !output.json() {
                    output.line(what).await;
                }
            }
        }
    }
    let arrived = if message { Some(checks.send_test(id, None).await?) } else { None };
    let found = checks.look(id)?;
    let count = |state: State| found.iter().filter(|one| one.state == state).count();
    if output.json() {
        let object = serde_json::json!({
            "address": account.address.to_string(),
            "state": worst(&found).name(),
            "wrong": count(State::Wrong),
            "notes": count(State::Note),
            "checks": found.iter().map(object).collect::<Vec<_>>(),
            "message": arrived.as_ref().map(told),
        });
        output.object(object).await;
    } else {
        for one in &found {
            output.line(format!("{:<6} {:<18} {}", one.state.name(), one.title(), one.text)).await;
        }
        if let Some(arrived) = &arrived {
            output.line(format!("test message: {}", in_words(arrived))).await;
        }
    }
    let lost = arrived.is_some_and(|arrived| matches!(arrived, Arrived::Refused(_) | Arrived::Waits));
    match count(State::Wrong) + usize::from(lost) {
        0 => Ok(()),
        1 => Err(Code::AccountProblems.error("1 problem")),
        wrong => Err(Code::AccountProblems.error(format!("{wrong} problems"))),
    }
}

fn object(one: &Finding) -> serde_json::Value {
    serde_json::json!({
        "code": one.code,
        "state": one.state.name(),
        "about": one.about,
        "text": one.text,
        "can_mend": one.mend.is_some(),
    })
}

fn told(arrived: &Arrived) -> serde_json::Value {
    let mailboxes = if let Arrived::In(names) = arrived { names.clone() } else { Vec::new() };
    let why = if let Arrived::Refused(why) = arrived { Some(why) } else { None };
    serde_json::json!({ "result": arrived.name(), "mailboxes": mailboxes, "why": why })
}

fn in_words(arrived: &Arrived) -> String {
    match arrived {
        Arrived::In(names) => format!("arrived in {}", names.join(", ")),
        Arrived::Nowhere => "accepted, but it is in no mailbox: a rule or forwarding took it".to_owned(),
        Arrived::Waits => "accepted, and waits to be filed".to_owned(),
        Arrived::Refused(why) => format!("refused: {why}"),
    }
}
