//! Work in whose midst its node may die: at any await, as it would at any instruction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_platform::probe;

use super::faults::Fault;
use super::node::Site;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A request is answered.
    Request,
    /// Events are moved to the log.
    Relay,
    /// Events are taken.
    Consumer,
    /// Regular work.
    Job,
}

impl Doing {
    fn dies(self) -> &'static str {
        match self {
            Doing::Request => {
                probe::reached("node-died-at-an-await-of-a-request");
                "at an await of a request"
            }
            Doing::Relay => {
                probe::reached("node-died-at-an-await-of-its-relay");
                "at an await of its relay"
            }
            Doing::Consumer => {
                probe::reached("node-died-at-an-await-of-a-consumer");
                "at an await of a consumer"
            }
            Doing::Job => {
                probe::reached("node-died-at-an-await-of-a-job");
                "at an await of a job"
            }
        }
    }
}

/// Work that may end with its node each time that it goes on.
pub struct Mortal<'a, T> {
    work: BoxFuture<'a, T>,
    doing: Doing,
    site: Arc<Site>,
}

impl<'a, T> Mortal<'a, T> {
    /// The work of a node.
    #[must_use]
    pub fn new(site: &Arc<Site>, doing: Doing, work: impl Future<Output = T> + Send + 'a) -> Mortal<'a, T> {
        Mortal { work: work.boxed(), doing, site: Arc::clone(site) }
    }
}

impl<T> Future for Mortal<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if self.site.faults.strikes(Fault::CrashAtAwait) {
            self.site.crash(self.doing.dies());
            return Poll::Pending; // whoever dies is not polled again
        }
        self.work.poll_unpin(context)
    }
}
