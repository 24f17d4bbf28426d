//! One judge, asked within a budget.

use chat::{Caller, Client, Reply, Toll};

use super::{
    Failure, Price, Settings,
    budget::{Budget, Leave},
    request::Order,
};
use crate::error::{Error, Result};

pub(super) struct Member {
    pub settings: Settings,
    client: Client,
}

/// What each attempt at an order costs.
struct Fare<'a> {
    budget: &'a Budget,
    order: &'a Order,
    price: Price,
}

impl Member {
    pub fn new(settings: Settings) -> Result<Self> {
        let client = Client::new(chat::Settings {
            name: format!("judge `{}`", settings.model),
            endpoint: settings.endpoint.clone(),
            key: settings.key.clone(),
            retries: settings.retries,
            timeout: settings.timeout,
            in_flight: settings.in_flight,
        });
        Ok(Self { client: client.map_err(Error::usage)?, settings })
    }

    /// Asks until there is an answer, the attempts or the budget are used up, or the user stops. The outer error ends the
    /// whole run.
    pub async fn answer(
        &self,
        order: &Order,
        budget: &Budget,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<std::result::Result<Reply, Failure>> {
        let fare = Fare { budget, order, price: self.settings.price.unwrap_or_default() };
        let caller = Caller { stop, note: &|line| tracing::info!(target: "judge", "{line}") };
        match self.client.answer(&order.body.to_string(), &fare, &caller).await {
            Ok(reply) => Ok(Ok(reply)),
            Err(chat::Failure::Unaffordable) => Ok(Err(Failure::BudgetExhausted)),
            Err(chat::Failure::Unreachable(message) | chat::Failure::Transport(message)) => {
                Ok(Err(Failure::Transport(message)))
            }
            Err(chat::Failure::Rejected(message)) => Ok(Err(Failure::Rejected(message))),
            Err(chat::Failure::Hopeless(message)) => Err(Error::failed(message)),
            Err(chat::Failure::Stopped) => Err(Error::Interrupted),
        }
    }
}

impl<'a> Toll for Fare<'a> {
    type Leave = Leave<'a>;

    async fn leave(&self) -> Option<Leave<'a>> {
        self.budget.leave(self.order, self.price).await
    }

    fn answered(&self, leave: &mut Leave<'a>, reply: &Reply) {
        leave.answered(reply, self.price);
    }
}
