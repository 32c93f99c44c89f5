"""What goes on at devices, and who opens what of them.

exams     examinations of devices, from the times of their series
use       map of devices, utilisation, gaps and days
access    who opened what, from the audit log
"""

from dicomlake.jobs.activity.access import Access, access, zone_of
from dicomlake.jobs.activity.exams import Asked, Hours
from dicomlake.jobs.activity.use import Activity

__all__ = ["Access", "Activity", "Asked", "Hours", "access", "zone_of"]
