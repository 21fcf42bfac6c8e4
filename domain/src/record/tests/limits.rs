//! Every limit of every field, at the limit and one beyond it, made from the tables.

use serde_json::{Value, json};

use super::*;

/// Values at the limits of a field, which are good, and beside them values that are not.
fn at_and_beyond(field: &Field) -> (Vec<Value>, Vec<Value>) {
    let text = |length: usize| json!("x".repeat(length));
    // Characters count, not bytes.
    let wide = |length: usize| json!("ä".repeat(length));
    match field.kind {
        Kind::Id => (
            vec![json!(1), json!(2_147_483_647)],
            vec![
                json!(0),
                json!(-1),
                json!(2_147_483_648_i64),
                json!("1"),
                json!(1.5),
            ],
        ),
        Kind::Integer { min, max } => (
            vec![json!(min), json!(max)],
            vec![
                json!(min - 1),
                json!(max + 1),
                json!(min.to_string()),
                json!(0.5),
                json!([]),
            ],
        ),
        Kind::Boolean => (
            vec![json!(true), json!(false)],
            vec![json!(1), json!("true"), json!([])],
        ),
        Kind::Text { min, max } => {
            let mut wrong = vec![
                wide(max + 1),
                json!(5),
                json!({}),
                json!("\0".repeat(min.max(1))),
            ];
            if min > 0 {
                wrong.push(text(min - 1));
            }
            (vec![text(min), wide(max)], wrong)
        }
        Kind::Name { min, max } => {
            let mut wrong = vec![wide(max + 1), json!(5), json!({})];
            let hostile = [
                "\0",
                "\u{1b}",
                "\n",
                "a\r\nb",
                "\u{85}",
                "\u{2028}",
                "\u{202e}abc",
                "\u{200f}",
                "\u{200b}",
                "\u{feff}a",
                "a\u{2064}",
                "a\u{e0041}",
                " ",
                "\u{a0}\u{3000}",
                "\u{200d}",
                "\u{3164}",
            ];
            wrong.extend(hostile.map(Value::from));
            if min > 0 {
                wrong.push(text(min - 1));
            }
            let mut good = vec![text(min), wide(max)];
            good.extend(["Störung im Werk", "日本", "שלום", "👩\u{200d}💻"].map(Value::from));
            (good, wrong)
        }
        Kind::Language => (
            vec![json!("en-us"), json!("de"), json!("pt-BR")],
            vec![json!("xx-yy"), json!(""), json!("German"), json!(5)],
        ),
        Kind::Secret { max } => (
            vec![text(1), wide(max)],
            vec![text(0), wide(max + 1), json!(5)],
        ),
        Kind::CodeName => (
            vec![text(64), json!("a-Z_0\\9")],
            vec![text(65), json!("a b"), json!("ä"), json!(5)],
        ),
        Kind::Word(words) => (
            words.iter().map(|word| json!(word)).collect(),
            vec![
                json!("no such word"),
                json!(words[0].to_uppercase()),
                json!(1),
                json!(""),
            ],
        ),
        Kind::Texts {
            members_max,
            text_max,
        } => {
            let list = |members: usize, length: usize| json!(vec!["x".repeat(length); members]);
            (
                vec![json!([]), list(members_max, text_max)],
                vec![
                    list(members_max + 1, 1),
                    list(1, text_max + 1),
                    list(1, 0),
                    json!("x"),
                    json!([1]),
                ],
            )
        }
        Kind::AddressRanges { members_max } => {
            let range = json!({"start": "10.0.0.1", "end": "10.0.0.9"});
            (
                vec![json!([]), json!(vec![range.clone(); members_max])],
                vec![
                    json!(vec![range; members_max + 1]),
                    json!(["10.0.0.1"]),
                    json!([{"start": "10.0.0.1"}]),
                    json!([{"start": 1, "end": "10.0.0.9"}]),
                    json!([{"start": "a".repeat(46), "end": "10.0.0.9"}]),
                    json!({}),
                ],
            )
        }
        Kind::Moment => (
            vec![json!("2026-03-02T09:00:00Z"), json!(0)],
            vec![json!("yesterday"), json!(true)],
        ),
    }
}

/// A value that is good for the field.
pub(super) fn good(field: &Field) -> Option<Value> {
    at_and_beyond(field).0.pop()
}

/// LIM-11, LIM-12, INST-03, POL-36
#[test]
fn every_limit_holds_at_the_limit_and_one_beyond() {
    fn check<R: Record>() {
        for field in R::FIELDS {
            let (good, wrong) = at_and_beyond(field);
            for value in good {
                assert!(
                    read_value(field, &value).is_ok(),
                    "{} {} = {value}: {:?}",
                    R::TITLE,
                    field.name,
                    read_value(field, &value)
                );
            }
            for value in wrong {
                let read = read_value(field, &value);
                let Err(message) = read else {
                    panic!("{} {} takes {value}", R::TITLE, field.name);
                };
                assert!(message.contains(field.name), "{message}");
            }
        }
    }
    for_every_record!(check);
}

/// Null is a value of nullable fields and of no other.
#[test]
fn null_is_a_value_of_nullable_fields_only() {
    fn check<R: Record>() {
        for field in R::FIELDS {
            assert_eq!(
                read_value(field, &Value::Null).is_ok(),
                field.nullable,
                "{} {}",
                R::TITLE,
                field.name
            );
        }
    }
    for_every_record!(check);
}

/// What the table lets in, the struct can hold, and gives back the same.
#[test]
fn what_the_table_lets_in_the_struct_can_hold() {
    fn check<R: Record>() {
        for field in R::FIELDS {
            let (mut values, _) = at_and_beyond(field);
            if field.nullable {
                values.push(Value::Null);
            }
            for value in values {
                let read = read_value(field, &value).expect("good");
                let mut object = to_object(&R::default());
                object.insert(field.name.to_owned(), read.clone());
                let record: R =
                    serde_json::from_value(Value::Object(object)).unwrap_or_else(|error| {
                        panic!("{} {} = {value}: {error}", R::TITLE, field.name)
                    });
                assert_eq!(
                    to_object(&record)[field.name],
                    read,
                    "{} {}",
                    R::TITLE,
                    field.name
                );
            }
        }
    }
    for_every_record!(check);
}
