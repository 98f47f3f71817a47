"""Who reads backups."""

from model.backups import Reading
from model.readers import backups_read, is_chosen, reading_begun, reading_over

FIRST = Reading(operation_id="restore-cluster/orders/1", run_id="r")
OTHER = FIRST.model_copy(update={"operation_id": "restore-cluster/orders/2", "backup_id": "old"})


def test_until_a_reader_has_chosen_any_backup_may_be_the_one():
    readers = reading_begun((OTHER,), FIRST)
    assert readers == (OTHER, FIRST)
    assert not is_chosen(readers)
    readers = reading_begun(readers, FIRST.model_copy(update={"backup_id": "new"}))
    assert is_chosen(readers)
    assert backups_read(readers) == ("new", "old")
    assert backups_read(reading_over(readers, OTHER.operation_id)) == ("new",)
    assert is_chosen(())
