"""The networks, one paper a file. Importing this package registers them all."""

from kerafer.models import ean as ean
from kerafer.models import efficientface as efficientface
from kerafer.models import lcnn as lcnn
from kerafer.models import lfer as lfer
from kerafer.models import mobilenet as mobilenet
from kerafer.models import resnet as resnet
from kerafer.models import shufflenet as shufflenet
from kerafer.models import squeezenet as squeezenet
from kerafer.models import vgg as vgg
