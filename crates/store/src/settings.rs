//! Named values of the owner that can change while the server runs, such as the aliases of models.

use platform::{ModelName, Timestamp};

use crate::database::args;
use crate::error::{StoreError, corrupt};
use crate::store::Store;

impl Store {
    /// A setting's value.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.database.first("SELECT value FROM settings WHERE name = $1", args![name]).await?;
        row.map(|row| row.text("value")).transpose()
    }

    /// Keeps a setting.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_setting(&self, name: &str, value: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        self.database.execute(sql, args![name, value, now]).await.map(|_| ())
    }

    /// Keeps a setting if it has no value yet, and says its value: for keys that an installation makes once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn setting_or(&self, name: &str, value: &str, now: Timestamp) -> Result<String, StoreError> {
        let sql = "INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        self.database.execute(sql, args![name, value, now]).await?;
        self.setting(name).await?.ok_or(StoreError::NotFound("setting"))
    }

    /// The owner's aliases: alias and model.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a name is none.
    pub async fn model_aliases(&self) -> Result<Vec<(ModelName, ModelName)>, StoreError> {
        let sql = "SELECT name, value FROM settings WHERE name LIKE 'alias:%' ORDER BY name";
        let rows = self.database.all(sql, args![]).await?;
        let read = |text: &str| ModelName::parse(text).ok_or_else(|| corrupt("value", text));
        let alias = |row: &crate::database::Row| {
            let name = row.text("name")?;
            Ok((read(name.strip_prefix("alias:").unwrap_or_default())?, read(&row.text("value")?)?))
        };
        rows.iter().map(alias).collect()
    }

    /// Maps an alias to a model, or forgets it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_model_alias(
        &self,
        alias: &ModelName,
        model: Option<&ModelName>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let name = format!("alias:{alias}");
        match model {
            Some(model) => self.set_setting(&name, model.as_str(), now).await,
            None => self.database.execute("DELETE FROM settings WHERE name = $1", args![name]).await.map(|_| ()),
        }
    }
}
