//! The mailboxes of many people, each of whom hears of their own mail as it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Handed, Mail, ScriptedServer};

/// All of them. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Mailboxes(Arc<Mutex<HashMap<String, UnboundedSender<Mail>>>>);

impl Mailboxes {
    /// Those that this server brings mail to, as long as the test runs.
    pub fn at(server: &ScriptedServer) -> Self {
        let mailboxes = Self::default();
        tokio::spawn(mailboxes.clone().bring_mail(server.deliveries()));
        mailboxes
    }

    /// A mailbox for this address, from here on.
    pub fn open(&self, address: &str) -> UnboundedReceiver<Mail> {
        let (post, mailbox) = unbounded_channel();
        self.0.lock().unwrap().insert(address.to_owned(), post);
        mailbox
    }

    async fn bring_mail(self, mut deliveries: UnboundedReceiver<Handed>) {
        while let Some(letter) = deliveries.recv().await {
            if let Some(mailbox) = self.0.lock().unwrap().get(&letter.to[0]) {
                // Some do not read their mail any more.
                let _ = mailbox.send(letter.mail());
            }
        }
    }
}
