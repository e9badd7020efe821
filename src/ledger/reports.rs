//! Reports in words: how they are asked for, on a command line or in a URL, and
//! how an answer is told, so that both faces understand and say the same.
//!
//! | module | for |
//! |---|---|
//! | [`ask`] | a report's words, and what is wrong with them |
//! | [`instant`] | dates and times of a time zone |
//! | [`money`] | nano-dollars as dollars |
//! | [`tell`] | rows, sums and calls as JSON |
//!
//! Always holds: what can't be understood is refused with the word that would be
//! right; money is rounded nowhere but where people read it.
//!
//! Left to others: what is summed (`store`), tables and files (`cli`).

pub mod ask;
pub mod instant;
pub mod money;
pub mod tell;
