//! The service as a whole, with a process behind the pages that notes what it is asked for.

use std::sync::Arc;

use axum::http::StatusCode;
use continuity::stage::{Feature, Situation, Stage, WhyOff};
use parking_lot::Mutex;
use web::{Job, JobReport, OpenAlarm, Operator, Paired, PairedKind};

use super::{act, trail};
use crate::world::World;

#[derive(Default)]
struct Noting {
    now: Mutex<Situation>,
    jobs: Mutex<Vec<JobReport>>,
    paired: Mutex<Vec<Paired>>,
    alone: Mutex<bool>,
}

impl Operator for Noting {
    fn overview(&self) -> Vec<(String, String)> {
        vec![("queue".to_owned(), "empty".to_owned())]
    }

    fn alarms(&self) -> Vec<OpenAlarm> {
        let text = str::to_owned;
        vec![OpenAlarm {
            line: text("Disk: nearly full"),
            more: text("<b>"),
            remedy: text("Delete something: `holdfast help operate disk is full`."),
        }]
    }

    fn situation(&self) -> Situation {
        self.now.lock().clone()
    }

    fn chosen(&self) -> (Stage, Option<String>) {
        (self.now.lock().stage, None)
    }

    fn set_stage(&self, stage: Stage) -> Result<(), String> {
        self.now.lock().stage = stage;
        Ok(())
    }

    fn follow_plan(&self) -> Result<(), String> {
        self.set_stage(Stage::Open)
    }

    fn switch(&self, feature: Feature, off: Option<WhyOff>) -> Result<(), String> {
        let now = &mut *self.now.lock();
        let Some(why) = off else {
            now.off.remove(&feature);
            now.why_off.remove(&feature);
            return Ok(());
        };
        now.off.insert(feature);
        now.why_off.insert(feature, why);
        Ok(())
    }

    fn say(&self, text: &str) -> Result<(), String> {
        text.clone_into(&mut self.now.lock().say);
        Ok(())
    }

    fn certificates(&self) -> Vec<String> {
        vec!["mail.example.org: <60> days left".to_owned()]
    }

    fn paired(&self) -> Vec<Paired> {
        self.paired.lock().clone()
    }

    fn forget(&self, kind: PairedKind, name: &str) -> Result<(), String> {
        self.paired.lock().retain(|one| one.kind != kind || one.name != name);
        Ok(())
    }

    fn waits_for_standby(&self) -> Option<String> {
        (!*self.alone.lock()).then(|| "no standby has answered".to_owned())
    }

    fn go_on_alone(&self) -> Result<(), String> {
        *self.alone.lock() = true;
        Ok(())
    }

    fn archives(&self) -> Vec<String> {
        vec!["off-site".to_owned()]
    }

    fn start(&self, job: Job) -> Result<(), String> {
        if job == Job::Drill("off-site".to_owned()) {
            return Err("there is no drill_dir".to_owned());
        }
        let lines = vec!["line <1>".to_owned()];
        self.jobs.lock().push(JobReport { job, began_ms: 1, ended_ms: None, error: None, lines });
        Ok(())
    }

    fn jobs(&self) -> Vec<JobReport> {
        self.jobs.lock().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_parts_and_announcements_are_changed_after_what_they_close_was_said() {
    let operator = Arc::new(Noting::default());
    let world = World::with(Some(operator.clone())).await;
    let mut ann = world.signed_in("ann").await;
    let here = "/admin/service";
    let page = ann.get(here).await.text();
    assert!(
        page.contains("Disk: nearly full")
            && page.contains("Delete something")
            && page.contains("href=\"/admin/help/operate?at=disk+is+full\"")
            && page.contains("&#60;b&#62;")
    );
    for (stage, typed) in
        [("dark", "dark"), ("checks", "checks"), ("web", ""), ("clients", ""), ("queues", ""), ("open", "")]
    {
        let before = operator.situation().stage;
        let asked = act(&mut ann, here, here, &[("do", "stage"), ("stage", stage)]).await;
        assert_eq!(asked.status, StatusCode::OK, "{stage}");
        assert_eq!(asked.text().contains("name=\"typed\""), !typed.is_empty(), "{stage} closes these pages");
        if !typed.is_empty() {
            let fields = [("do", "stage"), ("stage", stage), ("sure", "1"), ("typed", "no")];
            assert!(!act(&mut ann, here, here, &fields).await.wrong("typed").is_empty());
        }
        assert_eq!(operator.situation().stage, before, "{stage}");
        let fields = [("do", "stage"), ("stage", stage), ("sure", "1"), ("typed", typed)];
        assert!(act(&mut ann, here, here, &fields).await.location().ends_with("done=stage"), "{stage}");
        assert_eq!(operator.situation().stage.name(), stage);
        assert_eq!(trail(&world)[0], format!("ann@example.org: set the stage {stage}"));
    }
    for feature in Feature::ALL {
        for on in ["0", "1"] {
            let fields = [("do", "switch"), ("feature", feature.name()), ("on", on)];
            let done = act(&mut ann, here, here, &fields).await;
            let is_off = operator.situation().off.contains(&feature);
            let own = feature == Feature::Administration;
            assert_eq!(is_off, on == "0" && !own, "{} {on}", feature.name());
            assert_eq!(done.status == StatusCode::UNPROCESSABLE_ENTITY, own && on == "0");
        }
    }
    let fields =
        [("do", "switch"), ("feature", "search"), ("on", "0"), ("reason", " The index is rebuilt "), ("for", "4")];
    act(&mut ann, here, here, &fields).await;
    assert_eq!(trail(&world)[0], "ann@example.org: switched search off: The index is rebuilt");
    let why = operator.situation().why_off[&Feature::Search].clone();
    assert!(why.reason == "The index is rebuilt" && why.until_ms.is_some());
    assert!(ann.get(here).await.text().contains("The index is rebuilt, until "));
    let long = [("do", "switch"), ("feature", "search"), ("on", "0"), ("reason", &*"x".repeat(201))];
    assert_eq!(act(&mut ann, here, here, &long).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    act(&mut ann, here, here, &[("do", "switch"), ("feature", "search"), ("on", "1")]).await;
    assert!(operator.situation().why_off.is_empty());
    for (text, kept) in [("  Back at noon. ", "Back at noon."), ("", ""), ("x", "x")] {
        act(&mut ann, here, here, &[("do", "say"), ("text", text)]).await;
        assert_eq!(operator.situation().say, kept);
    }
    let long = "x".repeat(501);
    assert_eq!(
        act(&mut ann, here, here, &[("do", "say"), ("text", &long)]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    for bad in [&[("do", "stage"), ("stage", "half-open")][..], &[("do", "switch"), ("feature", "x")], &[("do", "")]] {
        assert_eq!(act(&mut ann, here, here, bad).await.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_started_and_its_words_are_shown() {
    let operator = Arc::new(Noting::default());
    let world = World::with(Some(operator.clone())).await;
    let mut ann = world.signed_in("ann").await;
    let archive = ("archive", "off-site");
    for (to, fields, job, audited) in [
        ("/admin/service", vec![("do", "maintain")], Job::Maintain, "started the daily work"),
        (
            "/admin/continuity",
            vec![("do", "snapshot"), archive],
            Job::Snapshot("off-site".to_owned()),
            "started a snapshot into the archive off-site",
        ),
        (
            "/admin/continuity",
            vec![("do", "verify"), archive],
            Job::VerifyArchive("off-site".to_owned()),
            "started to read back the archive off-site",
        ),
        ("/admin/service", vec![("do", "verify-data")], Job::VerifyData, "started a check of all stored data"),
        ("/admin/service", vec![("do", "renew")], Job::RenewCertificates, "started to renew all certificates"),
        ("/admin/service", vec![("do", "send-reports")], Job::SendReports, "started to send DMARC reports"),
        // These only look: the trail stays as it was.
        ("/admin/service", vec![("do", "secrets")], Job::Secrets, "started to send DMARC reports"),
        ("/admin/service", vec![("do", "check-names")], Job::CheckNames, "started to send DMARC reports"),
        (
            "/admin/continuity",
            vec![("do", "status"), archive],
            Job::ArchiveStatus("off-site".to_owned()),
            "started to send DMARC reports",
        ),
    ] {
        let done = act(&mut ann, to, to, &fields).await;
        assert_eq!(done.location(), format!("{to}?done=started"));
        assert_eq!(operator.jobs().pop().unwrap().job, job);
        assert_eq!(trail(&world)[0], format!("ann@example.org: {audited}"));
        assert!(ann.get(to).await.text().contains("line &#60;1&#62;"));
    }
    let refused = act(&mut ann, "/admin/continuity", "/admin/continuity", &[("do", "drill"), archive]).await;
    assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && refused.text().contains("There is no drill_dir."));
    // Without a process behind them there is no such page.
    let world = World::new().await;
    let mut ann = world.signed_in("ann").await;
    assert_eq!(ann.get("/admin/service").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ann.get("/admin/continuity").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_ends_after_the_machine_was_named() {
    let operator = Arc::new(Noting::default());
    let one = |kind, name: &str| Paired { kind, name: name.to_owned(), connected: true };
    *operator.paired.lock() = vec![one(PairedKind::Standby, "twin"), one(PairedKind::Relay, "twin")];
    let world = World::with(Some(operator.clone())).await;
    let mut ann = world.signed_in("ann").await;
    let here = "/admin/continuity";
    let fields = [("do", "forget"), ("kind", "standby"), ("name", "twin")];
    let asked = act(&mut ann, here, here, &fields).await;
    assert!(asked.status == StatusCode::OK && asked.text().contains("name=\"typed\""));
    for typed in ["", "Twin", "relay"] {
        let mistyped = [&fields[..], &[("sure", "1"), ("typed", typed)]].concat();
        assert!(!act(&mut ann, here, here, &mistyped).await.wrong("typed").is_empty(), "{typed}");
    }
    assert_eq!(operator.paired().len(), 2);
    let sure = [&fields[..], &[("sure", "1"), ("typed", "twin")]].concat();
    for to in ["/admin/continuity?done=pairedgone", "/admin/continuity"] {
        assert_eq!(act(&mut ann, here, here, &sure).await.location(), to);
        assert_eq!(operator.paired(), [one(PairedKind::Relay, "twin")], "the relay of that name stays");
    }
    assert_eq!(trail(&world), ["ann@example.org: removed the standby twin"]);
    let unknown = [("do", "forget"), ("kind", "printer"), ("name", "twin")];
    assert_eq!(act(&mut ann, here, here, &unknown).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_waits_for_a_standby_goes_on_alone_after_the_danger_was_said() {
    let operator = Arc::new(Noting::default());
    let world = World::with(Some(operator.clone())).await;
    let mut ann = world.signed_in("ann").await;
    let here = "/admin/continuity";
    assert!(ann.get(here).await.has_code("waits-for-standby"));
    let asked = act(&mut ann, here, here, &[("do", "alone")]).await;
    assert!(asked.text().contains("name=\"sure\"") && !*operator.alone.lock());
    act(&mut ann, here, here, &[("do", "alone"), ("sure", "1")]).await;
    assert!(*operator.alone.lock() && !ann.get(here).await.has_code("waits-for-standby"));
    assert_eq!(trail(&world)[0], "ann@example.org: continued without a standby");
}
