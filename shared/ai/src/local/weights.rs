//! Numbers out of a safetensors file, whatever precision they were stored in.

use half::{bf16, f16};
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The tensors of a file, all of whose names begin alike.
pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    prefix: String,
}

impl<'a> Weights<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| format!("model.safetensors is damaged or no safetensors file ({error})"))?;
        Ok(Self { tensors, prefix: String::new() })
    }

    /// Looks for `name` under any prefix, such as the `bert.` of models that were trained for another task, and takes
    /// that prefix for all names from now on. False where there is none.
    pub(super) fn under_prefix_of(&mut self, name: &str) -> bool {
        let found = self.tensors.names().into_iter().find_map(|full| full.strip_suffix(name).map(str::to_owned));
        let Some(prefix) = found else { return false };
        self.prefix = prefix;
        true
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensor(name).is_ok()
    }

    /// The tensor `name`, of `length` numbers.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Array1<f32>, String> {
        let view = self.tensor(name)?;
        expect_shape(name, &view, &[length])?;
        Ok(Array1::from_vec(floats(name, &view)?))
    }

    /// The tensor `name`, whose shape is `rows` × `columns` where those are given.
    pub(super) fn matrix(
        &self,
        name: &str,
        rows: Option<usize>,
        columns: Option<usize>,
    ) -> Result<Array2<f32>, String> {
        let view = self.tensor(name)?;
        let &[found_rows, found_columns] = view.shape() else {
            return Err(format!("the tensor {name} has the shape {:?}, expected two dimensions", view.shape()));
        };
        expect_shape(name, &view, &[rows.unwrap_or(found_rows), columns.unwrap_or(found_columns)])?;
        Array2::from_shape_vec((found_rows, found_columns), floats(name, &view)?).map_err(|error| error.to_string())
    }

    /// The tensor `name`, of whole numbers that are not negative.
    pub(super) fn indices(&self, name: &str) -> Result<Vec<usize>, String> {
        let view = self.tensor(name)?;
        let data = view.data();
        let whole: Vec<Option<usize>> = match view.dtype() {
            Dtype::I64 => numbers(data, |bytes| usize::try_from(i64::from_le_bytes(bytes)).ok()),
            Dtype::U64 => numbers(data, |bytes| usize::try_from(u64::from_le_bytes(bytes)).ok()),
            Dtype::I32 => numbers(data, |bytes| usize::try_from(i32::from_le_bytes(bytes)).ok()),
            Dtype::U32 => numbers(data, |bytes| usize::try_from(u32::from_le_bytes(bytes)).ok()),
            Dtype::I16 => numbers(data, |bytes| usize::try_from(i16::from_le_bytes(bytes)).ok()),
            Dtype::U16 => numbers(data, |bytes| Some(usize::from(u16::from_le_bytes(bytes)))),
            other => return Err(format!("the tensor {name} holds {other:?}, expected whole numbers")),
        };
        let whole: Option<Vec<usize>> = whole.into_iter().collect();
        whole.ok_or_else(|| format!("the tensor {name} holds negative numbers"))
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, String> {
        let full = format!("{}{name}", self.prefix);
        self.tensors.tensor(&full).map_err(|_| format!("model.safetensors has no tensor {full}"))
    }
}

fn expect_shape(name: &str, view: &TensorView<'_>, expected: &[usize]) -> Result<(), String> {
    if view.shape() == expected {
        return Ok(());
    }
    Err(format!("the tensor {name} has the shape {:?}, expected {expected:?}", view.shape()))
}

fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = view.data();
    let floats = match view.dtype() {
        Dtype::F64 => numbers(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F32 => numbers(data, f32::from_le_bytes),
        Dtype::F16 => numbers(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => numbers(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        // Quantised tables are used as they are: the scale they lost is one for all, and vectors are normalised.
        Dtype::I8 => numbers(data, |bytes| f32::from(i8::from_le_bytes(bytes))),
        other => return Err(format!("the tensor {name} holds {other:?}, expected F32, F16, BF16, F64 or I8")),
    };
    if floats.iter().all(|number| number.is_finite()) {
        Ok(floats)
    } else {
        Err(format!("the tensor {name} holds numbers that are infinite or none"))
    }
}

fn numbers<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (whole, _) = data.as_chunks::<N>();
    whole.iter().map(|bytes| number(*bytes)).collect()
}
