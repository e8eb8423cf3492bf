//! The line front: an app, and how it is displayed line by line.

use std::sync::Arc;

use harness_app::App;
use harness_core::{Agent, Observer};

use crate::display::Display;
use crate::screen::Screen;

type MakeDisplay = Box<dyn FnOnce(Screen) -> Arc<dyn Observer> + Send>;

/// An app with the displays that the line terminal uses for it. Made from an app, or from an agent alone.
pub struct LineFront {
    pub(crate) app: App,
    display: Option<MakeDisplay>,
    additional: Vec<MakeDisplay>,
}

impl From<App> for LineFront {
    fn from(app: App) -> Self {
        Self { app, display: None, additional: Vec::new() }
    }
}

impl From<Agent> for LineFront {
    fn from(agent: Agent) -> Self {
        App::from(agent).into()
    }
}

impl LineFront {
    /// Another display in place of [`Display`].
    pub fn display(
        mut self,
        make: impl FnOnce(Screen) -> Arc<dyn Observer> + Send + 'static,
    ) -> Self {
        self.display = Some(Box::new(make));
        self
    }

    /// One more display, whose lines stand behind those of the display.
    pub fn add_display(
        mut self,
        make: impl FnOnce(Screen) -> Arc<dyn Observer> + Send + 'static,
    ) -> Self {
        self.additional.push(Box::new(make));
        self
    }

    /// The app, displayed on this screen.
    pub(crate) fn displayed_on(self, screen: &Screen) -> App {
        let lead = self.app.agent().name.clone();
        let display = match self.display {
            Some(make) => make(screen.clone()),
            None => Arc::new(Display::new(screen.clone(), lead)),
        };
        let mut app = self.app.viewer(display);
        for make in self.additional {
            app = app.viewer(make(screen.clone()));
        }
        app
    }
}

impl std::fmt::Debug for LineFront {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineFront").field("app", &self.app).finish_non_exhaustive()
    }
}
