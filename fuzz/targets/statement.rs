//! A statement's body, in which anything may stand: it is read or refused, and what is read comes back.

#![no_main]

use gnotify_journal::fuzzing::{decode_statement, encode_statement};
use gnotify_journal::{CLIENT_UID_MAX, Statement};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((code, body)) = data.split_first() else { return };
    let Some(statement) = decode_statement(*code, body) else { return };
    let (new_code, new_body) = encode_statement(&statement);
    assert_eq!(new_code, *code);
    let again = decode_statement(new_code, &new_body);
    let want = match statement {
        Statement::Client { id, uid } => {
            Statement::Client { id, uid: &uid[..uid.len().min(CLIENT_UID_MAX)] }
        }
        statement => statement,
    };
    assert_eq!(again, Some(want));
});
