//! The hashes of keys: 128 bits of the canonical bytes of a row's key, the same before scoring and after, on every machine.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::encode::{Field, fields};
use crate::digest;
use crate::error::{Error, Result};

/// The hash of each row's key, which these columns are.
pub fn key_hashes(batch: &RecordBatch, key: &[String]) -> Result<Vec<u128>> {
    let column = |name: &String| {
        let column = batch.column_by_name(name).cloned().map(one_zero);
        column.ok_or_else(|| Error::defect(format!("the key column {name:?} is missing")))
    };
    let arrays = key.iter().map(column).collect::<Result<Vec<_>>>()?;
    let columns = key.iter().zip(&arrays).map(|(name, array)| Field::of(name, array)).collect::<Result<Vec<_>>>()?;
    let (mut hashes, mut bytes) = (Vec::with_capacity(batch.num_rows()), Vec::with_capacity(64));
    for row in 0..batch.num_rows() {
        bytes.clear();
        fields(&columns, row, &mut bytes)?;
        hashes.push(digest::row_key(&bytes));
    }
    Ok(hashes)
}

/// Floats of which zero has no sign and NaN one form: warehouses, keys and hashes tell the others apart, each in its way.
pub fn one_zero(array: ArrayRef) -> ArrayRef {
    fn one<P: ArrowPrimitiveType>(
        array: &ArrayRef,
        odd: impl Fn(P::Native) -> bool,
        one: impl Fn(P::Native) -> P::Native,
    ) -> ArrayRef {
        let values = array.as_primitive::<P>();
        if values.values().iter().any(|value| odd(*value)) {
            Arc::new(values.unary::<_, P>(one))
        } else {
            array.clone()
        }
    }
    match array.data_type() {
        DataType::Float32 => one::<Float32Type>(
            &array,
            |v| v.is_nan() || v.to_bits() == (-0.0f32).to_bits(),
            |v| if v.is_nan() { f32::NAN } else { v + 0.0 },
        ),
        DataType::Float64 => one::<Float64Type>(
            &array,
            |v| v.is_nan() || v.to_bits() == (-0.0f64).to_bits(),
            |v| if v.is_nan() { f64::NAN } else { v + 0.0 },
        ),
        _ => array,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn equal_keys_have_equal_hashes_and_others_do_not() {
        let batch = |ids: Vec<Option<i64>>, names: Vec<&str>, x: Vec<f64>| {
            let columns: [(&str, ArrayRef); 3] = [
                ("id", Arc::new(Int64Array::from(ids))),
                ("name", Arc::new(StringViewArray::from(names))),
                ("x", Arc::new(Float64Array::from(x))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let batch =
            batch(vec![Some(1), Some(1), None, Some(1)], vec!["a", "a", "a", "b"], vec![0.0, -0.0, 1.0, f64::NAN]);
        let hashes =
            |key: &[&str]| key_hashes(&batch, &key.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>()).unwrap();
        let (id, both, x) = (hashes(&["id"]), hashes(&["id", "name"]), hashes(&["x"]));
        assert!(id[0] == id[1] && id[0] != id[2] && id[0] == id[3]);
        assert!(both[0] == both[1] && both[0] != both[3] && both[0] != id[0]);
        assert_eq!(x[0], x[1], "a zero of either sign is one key");
        // The bytes of 1 as a bigint field: what other programs would hash.
        assert_eq!(id[0], digest::row_key(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(key_hashes(&batch, &["no".to_owned()]).is_err());
    }
}
