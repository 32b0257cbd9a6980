//! The extension module `hurtle._engine`: the boundary between Python and the engine. It is crossed per batch,
//! never per request, and engine threads never attach to Python.

mod batch;
mod body;
mod capsules;
mod charset;
mod earlier;
mod engine;
mod errors;
mod exchange;
mod groups;
mod identity;
mod job;
mod json_text;
mod jsonl;
mod lines;
mod lists;
mod memory;
mod options;
mod parquet;
mod prescan;
mod request;
mod response;
mod shown;
mod table;
mod testserver;
mod values;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Every error code, and whether a request that ends with it is retryable.
#[pyfunction]
fn error_codes(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let codes = PyDict::new(py);
    for code in hurtle_engine::Code::ALL {
        codes.set_item(code.as_str(), code.retryable())?;
    }
    Ok(codes)
}

#[pymodule(gil_used = false)]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    memory::keep_some();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("IDEMPOTENT_METHODS", PyTuple::new(module.py(), hurtle_engine::IDEMPOTENT_METHODS)?)?;
    module.add_function(wrap_pyfunction!(error_codes, module)?)?;
    module.add_function(wrap_pyfunction!(charset::body_text, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::decode_body, module)?)?;
    module.add_function(wrap_pyfunction!(options::option_defaults, module)?)?;
    module.add_function(wrap_pyfunction!(groups::groups_of, module)?)?;
    module.add_function(wrap_pyfunction!(identity::identify, module)?)?;
    module.add_function(wrap_pyfunction!(capsules::result_schema, module)?)?;
    module.add_function(wrap_pyfunction!(lines::rows_of_lines, module)?)?;
    module.add_class::<capsules::ResultSchema>()?;
    module.add_class::<capsules::ArrowStream>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<earlier::EarlierRows>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<exchange::Exchange>()?;
    module.add_class::<job::Job>()?;
    module.add_class::<job::Progress>()?;
    module.add_class::<parquet::ParquetFile>()?;
    module.add_class::<parquet::ParquetReader>()?;
    module.add_class::<response::Response>()?;
    module.add_class::<body::BodyFile>()?;
    module.add_class::<testserver::TestServer>()
}
