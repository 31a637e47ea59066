"""Judge detected sound events against annotations, as the field does."""
