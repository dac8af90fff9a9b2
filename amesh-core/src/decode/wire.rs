//! Protobuf's wire format, one field at a time, without copying.

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A field of a message on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'b> {
    pub(crate) number: u32,
    pub(crate) value: Value<'b>,
}

/// The value of a field on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'b> {
    /// A number of variable length.
    Varint(u64),
    /// Four or eight bytes.
    Fixed,
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'b [u8]),
    /// The old form of a message, which has been passed over.
    Group,
}

/// Nested groups that are passed over. Protobuf itself stops at a hundred.
const MAX_GROUPS: usize = 100;

/// The fields of a message, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl<'b> Fields<'b> {
    /// The next field; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'b>>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            3 => {
                self.pass_group(number)?;
                Value::Group
            }
            wire_type => self.value(wire_type)?,
        };
        Ok(Some(Field { number, value }))
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u64), Malformed> {
        let key = varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        if number == 0 {
            return Err(Malformed);
        }
        Ok((number, key & 7))
    }

    #[inline]
    fn value(&mut self, wire_type: u64) -> Result<Value<'b>, Malformed> {
        match wire_type {
            0 => varint(&mut self.0).map(Value::Varint),
            1 => self.take(8).map(|_| Value::Fixed),
            2 => {
                let length = varint(&mut self.0)?;
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                self.take(length).map(Value::Bytes)
            }
            5 => self.take(4).map(|_| Value::Fixed),
            _ => Err(Malformed),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn pass_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            match self.key()? {
                (number, 3) if open.len() < MAX_GROUPS => open.push(number),
                (number, 4) if number == *innermost => {
                    open.pop();
                }
                (_, 3 | 4) => return Err(Malformed),
                (_, wire_type) => drop(self.value(wire_type)?),
            }
        }
        Ok(())
    }
}

/// Takes a number of variable length off the front.
#[inline]
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    // Nearly all are of one byte: keys of fields below 16, and the lengths of small messages.
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *bytes = rest;
            Ok(u64::from(byte))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    let mut shift = 0;
    while shift < 64 {
        let (byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
    }
    Err(Malformed)
}
