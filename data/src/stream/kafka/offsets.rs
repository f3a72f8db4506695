//! Which offsets are to be committed, and are the partitions still ours? Told by what is handed out and by the group.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use krafka::consumer::{ConsumerRebalanceListener, ConsumerRecord, OffsetAndMetadata, TopicPartition};

/// A topic and the number of a partition.
pub(super) type Partition = (String, i32);

/// The offset after the last message that was handed out, and the epoch of the leader it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    offset: i64,
    leader_epoch: Option<i32>,
}

/// We in the group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What was handed out of partitions that are ours, and is not committed.
    handed_out: Mutex<BTreeMap<Partition, Next>>,
    is_in: AtomicBool,
}

impl Group {
    pub(super) fn hand_out(&self, records: &[ConsumerRecord]) {
        let mut handed_out = self.handed_out();
        for record in records {
            // Not the highest: where the log was cut off, or a partition came back to us, it goes on at a lower one.
            let next = Next { offset: record.offset.saturating_add(1), leader_epoch: record.leader_epoch };
            handed_out.insert((record.topic.to_string(), record.partition), next);
        }
    }

    /// What to commit.
    pub(super) fn offsets(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let offset = |((topic, partition), next): (&Partition, &Next)| {
            let offset = match next.leader_epoch {
                Some(epoch) => OffsetAndMetadata::with_epoch(next.offset, epoch),
                None => OffsetAndMetadata::new(next.offset),
            };
            (TopicPartition::new(topic.clone(), *partition), offset)
        };
        self.handed_out().iter().map(offset).collect()
    }

    pub(super) fn forget(&self) {
        self.handed_out().clear();
    }

    /// Whether the group has told us which partitions are ours; there may be none.
    pub(super) fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Relaxed)
    }

    /// Others read these on from the committed offsets: ours would be behind theirs.
    fn give_up(&self, partitions: &[TopicPartition]) {
        self.is_in.store(false, Ordering::Relaxed);
        let mut handed_out = self.handed_out();
        for given in partitions {
            handed_out.remove(&(given.topic.clone(), given.partition));
        }
    }

    fn handed_out(&self) -> MutexGuard<'_, BTreeMap<Partition, Next>> {
        self.handed_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsumerRebalanceListener for Group {
    async fn on_partitions_assigned(&self, _partitions: &[TopicPartition]) {
        self.is_in.store(true, Ordering::Relaxed);
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        self.give_up(partitions);
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        self.give_up(partitions);
    }
}

/// A partition, seen from aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    NoAnswer,
    /// The offset of the message that comes next, and the one after the last that there is.
    At {
        position: i64,
        end: i64,
    },
}

impl Look {
    /// Whether nothing came of it since an earlier look, although there was something then.
    pub(super) fn is_stuck(self, before: Option<&Self>) -> bool {
        match (before, self) {
            (Some(Self::NoAnswer), Self::NoAnswer) => true,
            (Some(Self::At { position: before, end }), Self::At { position, .. }) => {
                *before == position && *end > position
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str, partition: i32, offset: i64) -> ConsumerRecord {
        let mut record = ConsumerRecord::new(topic, partition, offset, None, None);
        record.leader_epoch = Some(3);
        record
    }

    fn listed(group: &Group) -> Vec<String> {
        let shown = |(place, next): (TopicPartition, OffsetAndMetadata)| {
            format!("{}/{}: {} {:?}", place.topic, place.partition, next.offset, next.leader_epoch)
        };
        group.offsets().into_iter().map(shown).collect()
    }

    #[test]
    fn what_was_handed_out_is_committed_and_nothing_else() {
        let group = Group::default();
        assert_eq!(listed(&group), [""; 0]);
        group.hand_out(&[record("a", 0, 4), record("a", 0, 5), record("a", 1, 0), record("b", 0, 8)]);
        assert_eq!(listed(&group), ["a/0: 6 Some(3)", "a/1: 1 Some(3)", "b/0: 9 Some(3)"]);
        group.hand_out(&[record("a", 0, 2)]);
        assert_eq!(listed(&group)[0], "a/0: 3 Some(3)", "the log was cut off");
        group.forget();
        assert_eq!(listed(&group), [""; 0]);
    }

    #[test]
    fn partitions_of_others_are_not_committed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let group = Group::default();
        assert!(!group.is_in());
        runtime.block_on(group.on_partitions_assigned(&[]));
        assert!(group.is_in(), "also without a partition");
        group.hand_out(&[record("a", 0, 4), record("a", 1, 0), record("b", 1, 7)]);
        runtime.block_on(group.on_partitions_revoked(&[TopicPartition::new("a", 1)]));
        assert!(!group.is_in());
        assert_eq!(listed(&group), ["a/0: 5 Some(3)", "b/1: 8 Some(3)"]);
        runtime.block_on(group.on_partitions_lost(&[TopicPartition::new("a", 0), TopicPartition::new("b", 1)]));
        assert_eq!(listed(&group), [""; 0]);
    }

    #[test]
    fn a_partition_is_stuck_that_had_something_and_gave_nothing() {
        let at = |position, end| Look::At { position, end };
        let check = |before: Option<Look>, now: Look, expected: bool| {
            assert_eq!(now.is_stuck(before.as_ref()), expected, "{before:?}, {now:?}");
        };
        check(None, at(5, 9), false);
        check(Some(at(5, 5)), at(5, 9), false);
        check(Some(at(5, 9)), at(7, 9), false);
        check(Some(at(5, 9)), at(5, 9), true);
        check(Some(at(5, 9)), Look::NoAnswer, false);
        check(Some(Look::NoAnswer), at(5, 9), false);
        check(Some(Look::NoAnswer), Look::NoAnswer, true);
        check(None, Look::NoAnswer, false);
    }
}
