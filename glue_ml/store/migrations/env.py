"""Alembic's way in: the migrations run on the connection, and in the transaction, that the store hands over."""

from alembic import context

from glue_ml.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
