use std::collections::BTreeMap;

use proptest::prelude::*;
use store::{Invariants as _, Store, StoreOptions};

use super::*;
use crate::QueueInvariants;

/// What may happen to a queue.
#[derive(Clone, Debug)]
enum Step {
    Enqueue { id: u64, legs: u8, due: i64 },
    Begin { id: u64, leg: u32, token: u64 },
    Settle { id: u64, leg: u32, token: u64, remaining: u8, due: i64 },
    Hold { id: u64 },
    Release { id: u64 },
    Warned { id: u64 },
    Remove { id: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (id, leg, token, due) = (0..3u64, 0..3u32, 1..3u64, 0..2_000i64);
    prop_oneof![
        3 => (id.clone(), 1..4u8, due.clone()).prop_map(|(id, legs, due)| Step::Enqueue { id, legs, due }),
        4 => (id.clone(), leg.clone(), token.clone()).prop_map(|(id, leg, token)| Step::Begin { id, leg, token }),
        4 => (id.clone(), leg, token, 0..3u8, due).prop_map(|(id, leg, token, remaining, due)| {
            Step::Settle { id, leg, token, remaining, due }
        }),
        1 => id.clone().prop_map(|id| Step::Hold { id }),
        1 => id.clone().prop_map(|id| Step::Release { id }),
        1 => id.clone().prop_map(|id| Step::Warned { id }),
        1 => id.prop_map(|id| Step::Remove { id }),
    ]
}

type Work = Box<dyn FnOnce(&mut Tx<'_>) -> Result<bool> + Send>;

/// The same queue, in the simplest form: recipients and the attempt under way of each leg of each message.
#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, Modelled>,
}

#[derive(Default)]
struct Modelled {
    held: bool,
    /// Recipients, token.
    legs: BTreeMap<u32, (u8, u64)>,
}

fn recipients(count: u8) -> Vec<RecipientRecord> {
    let address = |n| format!("r{n}@x.example");
    (0..count).map(|n| RecipientRecord { address: address(n), ..RecipientRecord::default() }).collect()
}

fn apply(store: &Store, model: &mut Model, step: Step) {
    let transact = |work: Work| store.transact(work).wait().expect("the step is possible");
    match step {
        Step::Enqueue { id, legs, due } => {
            if model.messages.contains_key(&id) {
                return;
            }
            let body = store.put_body(format!("message {id}").as_bytes()).unwrap();
            let record = MessageRecord {
                body: body.id().as_bytes().to_vec(),
                body_bytes: body.len(),
                expires_ms: 100_000 + due,
                warn_ms: 50_000,
                ..MessageRecord::default()
            };
            let leg = |n: u8| LegRecord {
                destination: format!("d{n}.example"),
                recipients: recipients(2),
                due_ms: due,
                ..LegRecord::default()
            };
            let records = (0..legs).map(leg).collect();
            transact(Box::new(move |tx| enqueue_in(tx, QueueId(id), record, records).map(|()| true)));
            let legs = (0..u32::from(legs)).map(|n| (n, (2, 0))).collect();
            model.messages.insert(id, Modelled { held: false, legs });
        }
        Step::Begin { id, leg, token } => {
            let leg_id = LegId { id: QueueId(id), leg };
            let due = due_leg(&store.snapshot(), leg_id, i64::MAX).unwrap().is_some();
            let known = model.messages.get_mut(&id).filter(|message| !message.held);
            let known = known.and_then(|message| message.legs.get_mut(&leg));
            assert_eq!(due, known.is_some());
            if due {
                assert!(transact(Box::new(move |tx| begin_attempt_in(tx, leg_id, token))));
            }
            if let Some((_, current)) = known {
                *current = token;
            }
        }
        Step::Settle { id, leg, token, remaining, due } => {
            let leg_id = LegId { id: QueueId(id), leg };
            let settled = transact(Box::new(move |tx| match current_attempt(tx, leg_id, token)? {
                None => Ok(false),
                Some(record) => settle_leg_in(tx, leg_id, record, recipients(remaining), due).map(|_| true),
            }));
            let Some(message) = model.messages.get_mut(&id) else { return assert!(!settled) };
            let expected = message.legs.get(&leg).is_some_and(|(_, current)| *current == token);
            assert_eq!(settled, expected, "only the attempt under way is settled");
            if expected && remaining == 0 {
                message.legs.remove(&leg);
            } else if expected {
                message.legs.insert(leg, (remaining, 0));
            }
            if message.legs.is_empty() {
                model.messages.remove(&id);
            }
        }
        Step::Hold { id } | Step::Release { id } if model.messages.contains_key(&id) => {
            let hold = matches!(step, Step::Hold { .. });
            let change = if hold { hold_in } else { release_in };
            transact(Box::new(move |tx| change(tx, QueueId(id)).map(|()| true)));
            model.messages.entry(id).and_modify(|message| message.held = hold);
        }
        Step::Warned { id } if model.messages.contains_key(&id) => {
            transact(Box::new(move |tx| {
                let Some(before) = message(tx, QueueId(id))? else { return Ok(false) };
                update_message_in(tx, QueueId(id), &before, &MessageRecord { warn_ms: 0, ..before.clone() });
                Ok(true)
            }));
        }
        Step::Remove { id } if model.messages.contains_key(&id) => {
            transact(Box::new(move |tx| {
                let Some(record) = message(tx, QueueId(id))? else { return Ok(false) };
                remove_in(tx, QueueId(id), &record).map(|()| true)
            }));
            model.messages.remove(&id);
        }
        Step::Hold { .. } | Step::Release { .. } | Step::Warned { .. } | Step::Remove { .. } => {}
    }
}

fn compare(store: &Store, model: &Model) {
    let snapshot = store.snapshot();
    assert_eq!(QueueInvariants.check(QUEUE, &snapshot).unwrap(), []);
    for id in 0..3 {
        let stored: BTreeMap<u32, (u8, u64)> = legs(&snapshot, QueueId(id))
            .unwrap()
            .into_iter()
            .map(|(leg_id, leg)| (leg_id.leg, (leg.recipients.len() as u8, leg.attempt_token)))
            .collect();
        let expected = model.messages.get(&id);
        assert_eq!(message(&snapshot, QueueId(id)).unwrap().map(|m| m.held), expected.map(|m| m.held));
        assert_eq!(stored, expected.map(|m| m.legs.clone()).unwrap_or_default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is done to it in whatever order, the queue stays whole and does what a simple model does.
    #[test]
    fn the_queue_stays_whole(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut model = Model::default();
        for step in steps {
            apply(&store, &mut model, step);
            compare(&store, &model);
        }
        store.close();
    }
}
