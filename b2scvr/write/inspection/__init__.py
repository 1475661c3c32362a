"""Pictures and tables that show a person what is in a stream.

One layer of one picture: canvas (the size it is drawn at) -> vectors | modes | maps | slices -> legend; `layers` knows them
by name. The stream as a whole: timeline, tables. All in the colours of palette and the letters of lettering.
"""

from b2scvr.write.inspection.folder import choose_pictures, parse_ranges, write_inspection
from b2scvr.write.inspection.layers import LAYERS, absent_layers, draw_layer
from b2scvr.write.inspection.tables import summary_table, units_table
from b2scvr.write.inspection.timeline import draw_timeline

__all__ = [
    "LAYERS",
    "absent_layers",
    "choose_pictures",
    "draw_layer",
    "draw_timeline",
    "parse_ranges",
    "summary_table",
    "units_table",
    "write_inspection",
]
