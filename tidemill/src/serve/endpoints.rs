//! All endpoints of a project, each ready or with the reason why not. A failed load leaves what serves untouched.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use learn::Model;

use crate::config::{EndpointSpec, VersionSpec};
use crate::failure::{Failure, Fault, Result};

use super::Endpoint;

/// The endpoints by name; cheap to clone.
#[derive(Clone)]
pub(crate) struct Endpoints {
    all: Arc<RwLock<BTreeMap<String, Slot>>>,
}

struct Slot {
    spec: EndpointSpec,
    serving: Option<Arc<Endpoint>>,
    trouble: Option<String>,
}

/// One line of the start-up table.
pub(crate) struct Status {
    /// Name of the endpoint.
    pub endpoint: String,
    /// The model it serves.
    pub model: String,
    /// The version that answers, where one does.
    pub version: Option<u32>,
    /// Why none answers, or why the wanted one could not be loaded.
    pub trouble: Option<String>,
    /// Requests that wait or are being answered.
    pub pending: usize,
    /// Rows answered since it was loaded.
    pub answered: u64,
}

impl Endpoints {
    /// Loads what each endpoint is to serve.
    pub(crate) fn load(specs: &[EndpointSpec], store: &store::Store) -> Self {
        let slots = specs.iter().map(|spec| {
            let slot = match start(spec, store) {
                Ok(endpoint) => Slot { spec: spec.clone(), serving: Some(Arc::new(endpoint)), trouble: None },
                Err(failure) => Slot { spec: spec.clone(), serving: None, trouble: Some(failure.message) },
            };
            (spec.name.clone(), slot)
        });
        Self { all: Arc::new(RwLock::new(slots.collect())) }
    }

    /// Loads anew what the endpoints of this model are to serve; requests in flight end on the version they began with.
    pub(crate) fn reload(&self, model: &str, store: &store::Store) {
        let wanted: Vec<EndpointSpec> = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            all.values().filter(|slot| slot.spec.model == model).map(|slot| slot.spec.clone()).collect()
        };
        for spec in wanted {
            let started = start(&spec, store); // slow, and no lock held
            let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
            let Some(slot) = all.get_mut(&spec.name) else { continue };
            match started {
                Ok(endpoint) => {
                    slot.serving = Some(Arc::new(endpoint));
                    slot.trouble = None;
                }
                Err(failure) => slot.trouble = Some(failure.message),
            }
        }
    }

    /// The endpoint of this name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Endpoint>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = all.get(name) else {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            return Err(Failure::not_found(format!("no endpoint \"{name}\"; there is {}", known.join(", "))));
        };
        slot.serving.clone().ok_or_else(|| {
            let reason = slot.trouble.as_deref().unwrap_or("not loaded yet");
            Failure::new(Fault::Busy, format!("endpoint \"{name}\" is not ready: {reason}"))
        })
    }

    /// The only endpoint, for `POST /predict`.
    pub(crate) fn only(&self) -> Result<String> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut names = all.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name.clone()),
            (None, _) => Err(Failure::not_found("this project has no endpoint")),
            _ => {
                let known: Vec<String> = all.keys().map(|name| format!("/predict/{name}")).collect();
                Err(Failure::input(format!("several endpoints; ask one of {}", known.join(", "))))
            }
        }
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The start-up table.
    pub(crate) fn status(&self) -> Vec<Status> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let line = |(name, slot): (&String, &Slot)| Status {
            endpoint: name.clone(),
            model: slot.spec.model.clone(),
            version: slot.serving.as_ref().map(|endpoint| endpoint.version),
            trouble: slot.trouble.clone(),
            pending: slot.serving.as_ref().map_or(0, |endpoint| endpoint.pending()),
            answered: slot.serving.as_ref().map_or(0, |endpoint| endpoint.answered()),
        };
        all.iter().map(line).collect()
    }
}

fn start(spec: &EndpointSpec, store: &store::Store) -> Result<Endpoint> {
    let version = match spec.version {
        VersionSpec::Champion => store.champion(&spec.model)?.ok_or_else(|| {
            let model = &spec.model;
            Failure::not_found(format!("model \"{model}\" has no version yet; train one: tidemill run {model}"))
        })?,
        VersionSpec::Number(n) => store.version(&spec.model, u32::try_from(n).unwrap_or(u32::MAX))?,
    };
    let model = load(&version.folder)?;
    Endpoint::start(model, &spec.model, version.number, spec.queue_max, spec.confidence_min as f32)
}

/// Loads the model of a version's folder once its files are whole.
pub(crate) fn load(folder: &Path) -> Result<Model> {
    store::verify(folder)?;
    Ok(Model::load(folder)?)
}
