//! The bank's calls, made in the name of who looks at a page: its forms need no script, and the bank itself says what may be
//! done.

use axum::Router;
use axum::http::{HeaderMap, Method};
use jangbu_contracts::problem::Problem;
use jangbu_platform::dice::Dice;
use jangbu_platform::http::token;
use jangbu_sim::client::{Client, Said};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where pages find the bank's calls.
pub struct Counter {
    router: Router,
    dice: Dice,
}

/// One visitor's calls.
pub struct Calls(Client);

/// An answer with its status, or why there is none.
pub type Got<T> = Result<(u16, T), Box<Problem>>;

impl Counter {
    /// Calls go to that router, keys of forms come from those dice.
    #[must_use]
    pub fn new(router: Router, dice: Dice) -> Counter {
        Counter { router, dice }
    }

    /// Calls with the credential of a request; none when it carries none.
    #[must_use]
    pub fn calls(&self, headers: &HeaderMap) -> Option<Calls> {
        Client::here(self.router.clone(), token(headers)?).ok().map(Calls)
    }

    /// A key for a form: made once when it is drawn, so that it can be sent twice and is carried out once.
    #[must_use]
    pub fn key(&self) -> String {
        let bytes = self.dice.bytes::<16>();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Calls {
    /// Reads.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Box<Problem>> {
        self.call(Method::GET, path, None, None).await.map(|(_, body)| body)
    }

    /// Changes something.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: &impl Serialize,
    ) -> Got<T> {
        let body = serde_json::to_vec(body).expect("wire types are written as JSON");
        self.call(method, path, key, Some(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Got<T> {
        let answer = self.0.call::<T>(method, path, key, body).await;
        match answer.said {
            Said::Reply(reply) => Ok((answer.status, reply)),
            Said::Problem(problem) => Err(problem),
            Said::Unknown(why) => {
                let code = jangbu_contracts::codes::Code::Unavailable;
                Err(Box::new(Problem::new(code, format!("nobody knows whether it took effect: {why}"))))
            }
        }
    }
}
