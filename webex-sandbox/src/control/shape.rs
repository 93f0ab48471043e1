//! Describes the JSON that a type accepts, derived from its `Deserialize`.
//!
//! A deserializer without input: it offers every field and every variant that the type accepts, and
//! records them. The list of controls therefore always matches the code.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Map, Value};

/// Returns what a type accepts: an object of its fields or variants, an array of the words to
/// choose from, or the kind of a single value.
pub(crate) fn of<T: for<'de> Deserialize<'de>>() -> Value {
    let mut shape = Shape::Unknown;
    loop {
        let mut more = false;
        // The deserialized value is not needed. A type that accepts no value is described as null.
        if T::deserialize(Walk { shape: &mut shape, more: &mut more }).is_err() || !more {
            return shape.into_json();
        }
    }
}

/// What is known of a type so far.
#[derive(Debug)]
enum Shape {
    Unknown,
    Value(&'static str),
    Fields(Vec<(String, Shape)>),
    /// An enum. One walk visits one variant; `next` is the variant to visit.
    Choice {
        variants: Vec<(&'static str, Shape)>,
        next: usize,
    },
}

impl Shape {
    fn into_json(self) -> Value {
        match self {
            Self::Unknown => Value::Null,
            Self::Value(kind) => kind.into(),
            Self::Fields(fields) => {
                fields.into_iter().map(|(name, shape)| (name, shape.into_json())).collect()
            }
            Self::Choice { variants, .. } => {
                if variants.iter().all(|(_, shape)| matches!(shape, Self::Unknown)) {
                    return variants.into_iter().map(|(name, _)| Value::from(name)).collect();
                }
                let named = |(name, shape): (&str, Self)| (name.to_owned(), shape.into_json());
                Value::Object(variants.into_iter().map(named).collect::<Map<_, _>>())
            }
        }
    }

    /// Returns the field of this name; adds it when it is new.
    fn field(&mut self, name: &str) -> &mut Self {
        if !matches!(self, Self::Fields(_)) {
            *self = Self::Fields(Vec::new());
        }
        let Self::Fields(fields) = self else { unreachable!("just set") };
        let at = fields.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            fields.push((name.to_owned(), Self::Unknown));
            fields.len() - 1
        });
        &mut fields[at].1
    }
}

/// One walk through a type.
struct Walk<'a> {
    shape: &'a mut Shape,
    /// Set when a variant has not been visited yet.
    more: &'a mut bool,
}

impl Walk<'_> {
    fn value(self, kind: &'static str) {
        *self.shape = Shape::Value(kind);
    }
}

/// Why a walk ended early.
#[derive(Debug)]
struct Stuck;

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type takes none of the values offered")
    }
}

impl std::error::Error for Stuck {}

impl serde::de::Error for Stuck {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
            self.value("number");
            visitor.$visit(Default::default())
        })*
    };
}

macro_rules! refused {
    ($($method:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stuck> {
            Err(Stuck)
        })*
    };
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Stuck;

    numbers! {
        deserialize_i8 => visit_i8, deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32, deserialize_i64 => visit_i64,
        deserialize_u8 => visit_u8, deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32, deserialize_u64 => visit_u64,
        deserialize_f32 => visit_f32, deserialize_f64 => visit_f64,
    }

    refused!(deserialize_char, deserialize_bytes, deserialize_byte_buf);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        self.value("any JSON");
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        self.value("true or false");
        visitor.visit_bool(false)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        self.value("text");
        // Where names are expected, this stands for any name; elsewhere it is an ordinary text.
        visitor.visit_str("*")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stuck> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stuck> {
        visitor.visit_newtype_struct(self)
    }

    /// Offers one item, so that an item that is an enum is recorded.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        let Walk { shape, more } = self;
        let mut more_in_item = false;
        let walk = Walk { shape: &mut *shape, more: &mut more_in_item };
        let list = visitor.visit_seq(Items(Some(walk)))?;
        if matches!(shape, Shape::Choice { .. }) {
            *more |= more_in_item;
        } else {
            *shape = Shape::Value("list");
        }
        Ok(list)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Stuck> {
        Err(Stuck)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Stuck> {
        Err(Stuck)
    }

    /// Offers one entry, so that keys that are an enum are recorded.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        let Walk { shape, more } = self;
        let walk = Walk { shape: &mut *shape, more };
        let map = visitor.visit_map(Entries { names: &[], at: 0, walk, is_map: true })?;
        if matches!(shape, Shape::Value(_)) {
            *shape = Shape::Value("map");
        }
        Ok(map)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stuck> {
        visitor.visit_map(Entries { names: fields, at: 0, walk: self, is_map: false })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stuck> {
        if !matches!(self.shape, Shape::Choice { .. }) {
            let variants = variants.iter().map(|name| (*name, Shape::Unknown)).collect();
            *self.shape = Shape::Choice { variants, next: 0 };
        }
        let Shape::Choice { variants, next } = self.shape else { unreachable!("just set") };
        let at = if *next < variants.len() { *next } else { 0 };
        let count = variants.len();
        let (name, shape) = variants.get_mut(at).ok_or(Stuck)?;
        let mut more = false;
        let made = visitor.visit_enum(Variant { name, walk: Walk { shape, more: &mut more } })?;
        if !more {
            *next = count.min(*next + 1);
        }
        *self.more |= *next < count;
        Ok(made)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stuck> {
        Err(Stuck)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stuck> {
        visitor.visit_unit()
    }
}

struct Entries<'a> {
    names: &'static [&'static str],
    at: usize,
    walk: Walk<'a>,
    is_map: bool,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Stuck;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stuck> {
        if self.is_map {
            if self.at > 0 {
                return Ok(None);
            }
            // Records the keys; values are only read.
            let key = Walk { shape: self.walk.shape, more: self.walk.more };
            return seed.deserialize(key).map(Some);
        }
        match self.names.get(self.at) {
            Some(name) => seed.deserialize(name.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stuck> {
        let at = self.at;
        self.at += 1;
        if self.is_map {
            let mut ignored = Shape::Unknown;
            return seed.deserialize(Walk { shape: &mut ignored, more: &mut false });
        }
        let mut more = false;
        let shape = self.walk.shape.field(self.names[at]);
        let value = seed.deserialize(Walk { shape, more: &mut more })?;
        *self.walk.more |= more;
        Ok(value)
    }
}

struct Items<'a>(Option<Walk<'a>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Stuck;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stuck> {
        self.0.take().map(|walk| seed.deserialize(walk)).transpose()
    }
}

struct Variant<'a> {
    name: &'static str,
    walk: Walk<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Stuck;
    type Variant = Walk<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Walk<'a>), Stuck> {
        Ok((seed.deserialize(self.name.into_deserializer())?, self.walk))
    }
}

impl<'de> VariantAccess<'de> for Walk<'_> {
    type Error = Stuck;

    fn unit_variant(self) -> Result<(), Stuck> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stuck> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Stuck> {
        Err(Stuck::custom("tuple"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stuck> {
        self.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    #[allow(dead_code)] // only its shape is of interest
    enum Inner {
        One,
        Two { number: u8 },
        Three { text: String, list: Vec<String> },
    }

    #[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    enum Word {
        Yes,
        No,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)] // only its shape is of interest
    struct Outer {
        first: Inner,
        second: Option<Inner>,
        words: BTreeMap<Word, bool>,
        named: BTreeMap<String, Word>,
        word: Word,
        many: Vec<Word>,
        any: Value,
        fine: bool,
    }

    #[test]
    fn a_shape_has_all_fields_and_all_variants_at_any_depth() {
        let inner = json!({"One": null, "Two": {"number": "number"},
                           "Three": {"text": "text", "list": "list"}});
        assert_eq!(
            of::<Outer>(),
            json!({
                "first": inner,
                "second": inner,
                "words": ["Yes", "No"],
                "named": "map",
                "word": ["Yes", "No"],
                "many": ["Yes", "No"],
                "any": "any JSON",
                "fine": "true or false",
            })
        );
    }
}
