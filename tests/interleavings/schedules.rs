//! Two actions on one account at once, the first stopped in its midst while the second runs.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::actions::{Action, Got, Need};
use super::outcome::Outcome;
use super::stage::{Point, Seen, Stage};
use super::table;
use super::world::World;

/// Two actions, the first of which can be stopped.
#[derive(Clone, Copy)]
pub struct Pair {
    pub first: &'static Action,
    pub second: &'static Action,
}

impl Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{}] first \"{}\", second \"{}\"",
            table::cell(self),
            self.first.name,
            self.second.name
        )
    }
}

/// What came of a pair.
pub struct Played {
    /// What the two were told.
    pub answers: [String; 2],
    pub outcome: Outcome,
    /// How many steps the first one made.
    pub steps: u32,
    /// Whether the first was stopped on its way; if not, nothing was interleaved.
    pub stopped: bool,
    pub deadlocks: i64,
}

/// In what order the two are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    FirstBeforeSecond,
    SecondBeforeFirst,
    /// The second runs as far as it gets while the first stands there.
    FirstStopped(Point),
    OnlyFirst,
    OnlySecond,
    Neither,
    /// The first alone, and from there on the database refuses it everything.
    FirstCutOff(Point),
}

impl Pair {
    /// What both need to be there.
    fn needs(&self) -> Vec<Need> {
        let mut needs = self.first.needs.to_vec();
        needs.extend(
            self.second
                .needs
                .iter()
                .filter(|need| !self.first.needs.contains(need)),
        );
        needs
    }

    /// Whether it is one of these, in this order.
    pub fn is_one_of(&self, pairs: &[[&str; 2]]) -> bool {
        pairs.contains(&[self.first.name, self.second.name])
    }

    /// Whether it is these two, in whatever order.
    pub fn is_of(&self, one: &str, other: &str) -> bool {
        let names = [self.first.name, self.second.name];
        names == [one, other] || names == [other, one]
    }

    /// Plays them on a world of their own.
    pub async fn play(&self, stage: &Arc<Stage>, order: Order) -> Played {
        let world = Arc::new(World::make(stage, &self.needs()).await);
        let deadlocks = stage.deadlocks().await;
        stage.count_anew().await;
        let (mut stopped, mut first, mut second) = (false, Got::default(), Got::default());
        stage.tick();
        match order {
            Order::FirstBeforeSecond => {
                first = self.first.act(&world, stage.first(), 0).await;
                stage.tick();
                second = self.second.act(&world, stage.second(), 1).await;
            }
            Order::SecondBeforeFirst => {
                second = self.second.act(&world, stage.second(), 1).await;
                stage.tick();
                first = self.first.act(&world, stage.first(), 0).await;
            }
            Order::OnlyFirst => first = self.first.act(&world, stage.first(), 0).await,
            Order::OnlySecond => second = self.second.act(&world, stage.second(), 1).await,
            Order::Neither => {}
            Order::FirstStopped(point) => {
                (stopped, first, second) = self.interleave(&world, point).await;
            }
            Order::FirstCutOff(point) => (stopped, first) = self.cut_off(&world, point).await,
        }
        let steps = stage.steps().await;
        stage.tick();
        Played {
            answers: [self.first.said(&first), self.second.said(&second)],
            outcome: world.outcome([&first, &second]).await,
            steps,
            stopped,
            deadlocks: stage.deadlocks().await - deadlocks,
        }
    }

    async fn interleave(&self, world: &Arc<World>, point: Point) -> (bool, Got, Got) {
        let stage = &world.stage;
        stage.shut(point, &world.id).await;
        let first = tokio::spawn(self.first.act(world, stage.first(), 0));
        let stopped = stage.seen("first", &first).await == Seen::Waits;
        stage.tick();
        let second = tokio::spawn(self.second.act(world, stage.second(), 1));
        stage.seen("second", &second).await;
        stage.tick();
        stage.unlock().await;
        (stopped, first.await.unwrap(), second.await.unwrap())
    }

    async fn cut_off(&self, world: &Arc<World>, point: Point) -> (bool, Got) {
        let stage = &world.stage;
        stage.shut(point, &world.id).await;
        let first = tokio::spawn(self.first.act(world, stage.first(), 0));
        let stopped = stage.seen("first", &first).await == Seen::Waits;
        stage.cut_off().await;
        stage.unlock().await;
        let first = first.await.unwrap();
        stage.restore().await;
        (stopped, first)
    }
}
