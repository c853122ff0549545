//! `tinymcp:plugin/input`: the client's answers, and the kinds of questions that it takes. The
//! questions themselves are results.

use wasmtime::component::{HasSelf, Linker};

use super::guest::Guest;
use crate::plugins::wit::input::{self, Answer, Capabilities};

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    input::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl input::Host for Guest {
    fn answer_to(&mut self, key: String) -> wasmtime::Result<Option<Answer>> {
        let answers = &self.conversation.answers;
        Ok(answers.iter().find(|(of, _)| *of == key).map(|(_, answer)| answer.clone()))
    }

    fn answers(&mut self) -> wasmtime::Result<Vec<(String, Answer)>> {
        Ok(self.conversation.answers.clone())
    }

    fn state(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.conversation.state.clone())
    }

    fn askable(&mut self) -> wasmtime::Result<Capabilities> {
        Ok(self.conversation.askable.unwrap_or_else(Capabilities::empty))
    }
}
